from openai import OpenAI

client = OpenAI(base_url="ADDRESS/v1", api_key="YOUR_API_KEY")
stream = client.chat.completions.create(
    model="YOUR_MODEL",
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
