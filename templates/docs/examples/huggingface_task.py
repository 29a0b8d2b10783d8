from huggingface_hub import InferenceClient

# Every model of this server, of whatever task, has an address of its own below /hf/models.
client = InferenceClient(model="ADDRESS/hf/models/YOUR_MODEL", token="YOUR_API_KEY")
print(client.text_generation("What is the capital of France?", max_new_tokens=100))
