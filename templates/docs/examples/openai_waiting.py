from openai import APIStatusError, OpenAI

# A model that is not loaded may need minutes. The client asks again by itself, and the
# server keeps its place in the queue meanwhile: all it needs is more tries.
client = OpenAI(base_url="ADDRESS/v1", api_key="YOUR_API_KEY", max_retries=20)
try:
    answer = client.chat.completions.create(
        model="YOUR_MODEL",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
    )
    print(answer.choices[0].message.content)
except APIStatusError as error:
    print(error.status_code, error.code, error.message)
