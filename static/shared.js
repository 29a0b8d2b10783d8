// A conversation behind its link.

import { Conversation } from "./conversation.js";
import { Tree } from "./tree.js";

const nothing = () => {};
const nodes = JSON.parse(document.getElementById("nodes").textContent);
const actions = { again: nothing, drawn: nothing, edit: nothing, goOn: nothing, instead: nothing, results: nothing, turn: nothing };

new Conversation(document.getElementById("conversation"), actions).show(new Tree(nodes));
