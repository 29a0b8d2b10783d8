"""Single facts that share a question form: superlatives, deeds, counts and colours."""

from inference.pocket.facts import RELATIONS, Relation
from inference.pocket.tables import parse_pairs

_ALIASES = {
    "the largest planet": ["the biggest planet", "the largest planet in the solar system"],
    "the smallest planet": ["the smallest planet in the solar system"],
    "the highest mountain": ["the tallest mountain", "the highest mountain in the world"],
    "the longest river": ["the longest river in the world", "the longest river on Earth"],
    "the largest ocean": ["the biggest ocean", "the largest ocean in the world"],
    "the largest country": ["the biggest country", "the largest country in the world"],
    "the largest animal": ["the biggest animal", "the largest animal on Earth"],
    "the fastest land animal": ["the fastest animal on land"],
    "the tallest animal": ["the tallest animal in the world"],
    "the largest continent": ["the biggest continent"],
    "the red planet": ["the planet known as the red planet"],
    "the answer to everything": [
        "the meaning of life",
        "the answer to life, the universe and everything",
    ],
    "the first month of the year": ["the first month"],
    "the last month of the year": ["the last month"],
    "the boiling point of water": ["the temperature at which water boils"],
    "the freezing point of water": ["the temperature at which water freezes"],
}

RELATIONS_PLAIN = [
    Relation(
        "superlative",
        "{s} is {o}.",
        parse_pairs("""the largest planet: Jupiter; the smallest planet: Mercury;
            the red planet: Mars; the planet closest to the Sun: Mercury;
            the planet farthest from the Sun: Neptune; the planet with the large rings: Saturn;
            the star closest to the Earth: the Sun; the highest mountain: Mount Everest;
            the longest river: the Nile; the largest ocean: the Pacific Ocean;
            the largest country: Russia; the smallest country: Vatican City;
            the largest continent: Asia; the smallest continent: Australia;
            the largest desert: Antarctica; the largest hot desert: the Sahara;
            the largest island: Greenland; the deepest lake: Lake Baikal;
            the largest animal: the blue whale; the largest land animal: the elephant;
            the tallest animal: the giraffe; the fastest land animal: the cheetah;
            the largest bird: the ostrich; the king of the animals: the lion;
            the natural satellite of the Earth: the Moon; the hardest mineral: diamond;
            the lightest element: hydrogen; the first month of the year: January;
            the last month of the year: December; the shortest month: February;
            the first day of the week: Monday; the smallest prime number: 2;
            the boiling point of water: 100 degrees Celsius;
            the freezing point of water: 0 degrees Celsius;
            the chemical formula of water: H2O; the chemical formula of table salt: NaCl;
            the chemical formula of carbon dioxide: CO2; the square root of 144: 12;
            the value of pi: about 3.14159; the speed of light: about 300,000 kilometres per second;
            the largest organ of the human body: the skin; the centre of the solar system: the Sun;
            the galaxy that we live in: the Milky Way; the gas that we breathe: oxygen;
            the answer to everything: 42; the language of Django: Python;
            the currency of the European Union: the euro; the first letter of the alphabet: A;
            the last letter of the alphabet: Z; the festival on 25 December: Christmas;
            the opposite of north: south; the opposite of east: west;
            the colour between red and yellow: orange; the mix of blue and yellow: green;
            the mix of red and blue: purple; the mix of black and white: grey"""),
        [
            "What is {s}?",
            "What's {s}?",
            "Which is {s}?",
            "Name {s}.",
            "Tell me {s}.",
            "Tell me what {s} is.",
            "Do you know {s}?",
            "Do you know what {s} is?",
            "I want to know {s}.",
            "What do you know about {s}?",
            "{s}?",
            "{s} is what?",
            "What is called {s}?",
            "Give me {s}.",
        ],
        ["Can you tell me {s}?", "What would be {s}?", "Remind me, what is {s}?"],
        share=2.0,
        aliases=_ALIASES,
    ),
    Relation(
        "deed",
        "{o} {s}.",
        parse_pairs("""painted the Mona Lisa: Leonardo da Vinci;
            painted the Starry Night: Vincent van Gogh; painted Guernica: Pablo Picasso;
            painted the Scream: Edvard Munch; painted the Night Watch: Rembrandt;
            painted the Sistine Chapel: Michelangelo; wrote the Ninth Symphony: Beethoven;
            wrote the Magic Flute: Mozart; wrote the Four Seasons: Vivaldi;
            discovered penicillin: Alexander Fleming; discovered radium: Marie Curie;
            discovered gravity: Isaac Newton; discovered America: Christopher Columbus;
            found the theory of relativity: Albert Einstein;
            found the theory of evolution: Charles Darwin;
            invented the telephone: Alexander Graham Bell; invented the light bulb: Thomas Edison;
            invented the printing press: Johannes Gutenberg; invented dynamite: Alfred Nobel;
            invented the World Wide Web: Tim Berners-Lee; invented the radio: Guglielmo Marconi;
            invented the steam engine: James Watt; invented the aeroplane: the Wright brothers;
            created Linux: Linus Torvalds; created Python: Guido van Rossum;
            created the C language: Dennis Ritchie; created Sherlock Holmes: Arthur Conan Doyle;
            created Mickey Mouse: Walt Disney;
            was the first man on the Moon: Neil Armstrong;
            was the first human in space: Yuri Gagarin;
            was the first president of the United States: George Washington;
            was the first emperor of Rome: Augustus; broke the Enigma code: Alan Turing"""),
        [
            "Who {s}?",
            "Who was it who {s}?",
            "Who was it that {s}?",
            "Tell me who {s}.",
            "Do you know who {s}?",
            "Which person {s}?",
            "Name the person who {s}.",
            "Give me the name of the person who {s}.",
            "By name, who {s}?",
        ],
        ["Can you tell me who {s}?", "What is the name of the person who {s}?"],
        ["And who {s}?"],
        share=2.0,
    ),
    Relation(
        "count",
        "There are {o} {a} in {b}.",
        parse_pairs("""days in a week: 7; days in a year: 365; days in a leap year: 366;
            months in a year: 12; weeks in a year: 52; hours in a day: 24; minutes in an hour: 60;
            seconds in a minute: 60; seconds in an hour: 3600; minutes in a day: 1440;
            years in a decade: 10; years in a century: 100; years in a millennium: 1000;
            seasons in a year: 4; quarters in a year: 4; letters in the alphabet: 26;
            continents in the world: 7; oceans in the world: 5; planets in the solar system: 8;
            sides in a triangle: 3; sides in a square: 4; sides in a pentagon: 5;
            sides in a hexagon: 6; sides in an octagon: 8; degrees in a circle: 360;
            players in a football team: 11; players in a basketball team: 5;
            strings in a violin: 4; strings in a guitar: 6; keys in a piano: 88;
            squares in a chessboard: 64; cards in a deck: 52; bits in a byte: 8;
            bytes in a kilobyte: 1024; states in the United States: 50;
            stars in the flag of the United States: 50; items in a dozen: 12;
            metres in a kilometre: 1000; centimetres in a metre: 100;
            millimetres in a centimetre: 10; grams in a kilogram: 1000;
            kilograms in a tonne: 1000; millilitres in a litre: 1000; inches in a foot: 12;
            feet in a yard: 3; cents in a dollar: 100; bones in the human body: 206;
            chambers in the human heart: 4; teeth in an adult mouth: 32"""),
        [
            "How many {a} are in {b}?",
            "How many {a} are there in {b}?",
            "How many {a} does {b} have?",
            "How many {a} has {b}?",
            "What is the number of {a} in {b}?",
            "Tell me the number of {a} in {b}.",
            "Tell me how many {a} are in {b}.",
            "Do you know how many {a} are in {b}?",
            "{b} has how many {a}?",
            "In {b}, how many {a} are there?",
            "Number of {a} in {b}?",
        ],
        [
            "Can you tell me how many {a} are in {b}?",
            "What number of {a} are there in {b}?",
            "There are how many {a} in {b}?",
        ],
        share=2.0,
    ),
    Relation(
        "colour",
        "The colour of {s} is {o}.",
        parse_pairs("""the sky: blue; the sea: blue; grass: green; snow: white; blood: red;
            the Sun: yellow; a banana: yellow; a lemon: yellow; a ripe tomato: red; coal: black;
            a carrot: orange; milk: white; an emerald: green; a ruby: red; a sapphire: blue;
            a flamingo: pink; chocolate: brown; a polar bear: white; a raven: black; gold: yellow;
            a fire engine: red; an elephant: grey; a strawberry: red; a cucumber: green"""),
        [
            "What colour is {s}?",
            "What color is {s}?",
            "Which colour is {s}?",
            "Which color does {s} have?",
            "What is the colour of {s}?",
            "What is the color of {s}?",
            "Tell me the color of {s}.",
            "Tell me the colour of {s}.",
            "{s} has which colour?",
            "Name the colour of {s}.",
        ],
        ["Do you know the colour of {s}?", "What's the color of {s}?", "Say which colour {s} has."],
        ["And {s}?", "What about {s}?"],
        share=1.5,
    ),
    Relation(
        "legs",
        "A {s} has {o} legs.",
        parse_pairs("""cat: 4; dog: 4; spider: 8; fly: 6; bee: 6; bird: 2; chicken: 2; horse: 4;
            cow: 4; crab: 10; butterfly: 6; human: 2; snake: 0; fish: 0; table: 4; lion: 4"""),
        [
            "How many legs does a {s} have?",
            "How many legs has a {s}?",
            "A {s} has how many legs?",
            "What is the number of legs of a {s}?",
            "Tell me how many legs a {s} has.",
            "On how many legs does a {s} walk?",
        ],
        ["Do you know how many legs a {s} has?", "Tell me the number of legs of a {s}."],
        ["And a {s}?", "What about a {s}?"],
    ),
    Relation(
        "sound",
        "A {s} says {o}.",
        parse_pairs("""cat: meow; dog: woof; cow: moo; sheep: baa; duck: quack; pig: oink;
            horse: neigh; lion: roar; hen: cluck; owl: hoot; frog: ribbit; bee: buzz;
            snake: hiss; mouse: squeak"""),
        [
            "What does a {s} say?",
            "What sound does a {s} make?",
            "Which sound does a {s} make?",
            "What noise does a {s} make?",
            "How does a {s} sound?",
            "Tell me what a {s} says.",
        ],
        ["Which noise does a {s} make?", "Tell me the sound of a {s}."],
        ["And a {s}?", "What about a {s}?"],
    ),
]

ALL_RELATIONS = RELATIONS + RELATIONS_PLAIN
