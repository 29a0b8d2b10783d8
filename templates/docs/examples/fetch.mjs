const response = await fetch("ADDRESS/v1/chat/completions", {
  method: "POST",
  headers: { "Content-Type": "application/json", Authorization: "Bearer YOUR_API_KEY" },
  body: JSON.stringify({
    model: "YOUR_MODEL",
    messages: [{ role: "user", content: "What is the capital of France?" }],
  }),
});
const body = await response.json();
if (!response.ok) throw new Error(body.error.message);
console.log(body.choices[0].message.content);
