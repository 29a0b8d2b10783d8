from langchain_openai import ChatOpenAI

model = ChatOpenAI(base_url="ADDRESS/v1", api_key="YOUR_API_KEY", model="YOUR_MODEL")
for piece in model.stream("What is the capital of France?"):
    print(piece.content, end="", flush=True)
print()
