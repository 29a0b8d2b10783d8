from huggingface_hub import InferenceClient

client = InferenceClient(base_url="ADDRESS/v1", api_key="YOUR_API_KEY")
answer = client.chat_completion(
    model="YOUR_MODEL",
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    max_tokens=100,
)
print(answer.choices[0].message.content)
