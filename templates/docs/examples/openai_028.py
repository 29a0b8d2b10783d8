import openai

openai.api_base = "ADDRESS/v1"
openai.api_key = "YOUR_API_KEY"
for token in openai.Completion.create(
    model="YOUR_MODEL",
    prompt="What is the capital of France?",
    max_tokens=200,
    stream=True,
):
    print(token.choices[0].text, end="", flush=True)
print()
