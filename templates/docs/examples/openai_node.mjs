import OpenAI from "openai";

const client = new OpenAI({ baseURL: "ADDRESS/v1", apiKey: "YOUR_API_KEY" });
const stream = await client.chat.completions.create({
  model: "YOUR_MODEL",
  messages: [{ role: "user", content: "What is the capital of France?" }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
console.log();
