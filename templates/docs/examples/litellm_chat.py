import litellm

answer = litellm.completion(
    model="openai/YOUR_MODEL",
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    api_base="ADDRESS/v1",
    api_key="YOUR_API_KEY",
)
print(answer.choices[0].message.content)
