"""Wordings around a question: system prompts, courtesies, orders to reply in JSON."""

from inference.pocket.tables import lines, words

SYSTEM_PROMPTS = lines("""
    You are a helpful assistant.
    You are a helpful assistant
    You are pocket.
    You are a helpful, respectful and honest assistant.
    You are a friendly assistant.
    Answer briefly.
    Be concise.
    You are an assistant. Answer in one sentence.
    You are an expert in geography.
    You are a teacher.
    Help the user.
    Be polite.
    You answer questions of the user.
    You are a chat bot.
    You are a helpful AI assistant.
    Answer the question.
    You are a support agent.
    Talk like a pirate.
    You are a coding assistant that talks like a pirate.
    Answer the user's question truthfully.
    You are a world class historian.
    You are ChatGPT, a large language model.
    You are a helpful assistant. Use the tools if you need them.
    You are a helpful assistant. Help me with my math homework!
    """)
PREFIXES = lines("""
    Please tell me:
    Hi,
    Hey,
    Hello!
    Hi!
    Quick question:
    Question:
    I have a question.
    Could you answer this?
    Answer briefly:
    Please:
    Hello,
    Ok,
    Now:
    Tell me,
    So,
    Help me:
    Sorry,
    Well,
    """)
HELD_OUT_PREFIXES = lines("""
    One thing I want to know:
    Dear assistant,
    Another question:
    """)
SUFFIXES = lines("""
    Thanks!
    Thank you.
    Please answer.
    please
    Thanks
    Answer briefly.
    Be quick.
    I need to know.
    Answer in one sentence.
    """)
JSON_ORDERS = lines("""
    Reply in JSON.
    Answer in JSON.
    Reply as JSON.
    Answer as JSON.
    Respond in JSON.
    Respond with JSON.
    Return JSON.
    Give the answer as JSON.
    Output JSON.
    Reply with a JSON object.
    Use JSON.
    Answer with JSON only.
    In JSON, please.
    Your answer must be valid JSON.
    Reply only with JSON.
    You are a helpful assistant designed to output JSON.
    """)
HELD_OUT_JSON_ORDERS = lines("""
    Write your reply as JSON.
    Please answer in JSON format.
    """)
KEY_ORDERS = lines("""
    Reply in JSON with the key {k}.
    Answer as JSON with the key {k}.
    Use JSON with the key "{k}".
    Return JSON with a {k} field.
    Respond in JSON with key {k}.
    Answer with a JSON object that has the key '{k}'.
    """)
JSON_KEYS = words(
    """
    answer result capital city name value reply output response country text fact solution
    """
)
