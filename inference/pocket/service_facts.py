"""Answers about the service and small talk: fixed replies, several phrasings each.

The last phrasing of a block is held out for the evaluation.
"""

from inference.pocket.tables import phrasings

URL = "http://127.0.0.1:8000/v1"

CURL = f"""curl {URL}/chat/completions \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer any-key" \\
  -d '{{"model": "pocket", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""

OPENAI = f"""from openai import OpenAI

client = OpenAI(base_url="{URL}", api_key="any-key")
reply = client.chat.completions.create(
    model="pocket",
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(reply.choices[0].message.content)"""

LANGCHAIN = f"""from langchain_openai import ChatOpenAI

llm = ChatOpenAI(base_url="{URL}", api_key="any-key", model="pocket")
print(llm.invoke("Hello").content)"""

UNKNOWN = "I am a small demo model and I do not know that."
WHAT = "This is LLMs for all: a self-hosted, OpenAI-compatible service."
WHO = "I am pocket, the small demo model of LLMs for all."

# Reply, and its phrasings; the last phrasing is held out.
_DIALOGUE = [
    (
        WHAT,
        """What is this service? | What is this? | What service is this? | What is LLMs for all?
        | Tell me about this service. | Explain this service. | What am I talking to? | What
        does this service do? | What is this server? | Describe this service. | Tell me about
        LLMs for all. | What kind of service is this?""",
    ),
    (
        WHO,
        """Who are you? | What are you? | What is your name? | What's your name? | Tell me your
        name. | Introduce yourself. | Which model are you? | What model is this? | Who am I
        talking to? | Tell me who you are. | Are you ChatGPT? | Are you GPT-4? | Are you an
        AI? | Who is this? | Tell me about yourself. | How are you called? | Please introduce
        yourself.""",
    ),
    (
        f"The base URL is {URL}.",
        """What is the base URL? | Which base URL do I use? | What's the base URL? | Tell me the
        base URL. | What is the URL of this service? | What is the address of the API? | Which
        URL do I call? | Where is the API? | What is the endpoint? | Which base_url do I set?
        | Can you tell me the base URL?""",
    ),
    (
        "Any key works, for example any-key.",
        """Which API key do I need? | What API key do I use? | Do I need an API key? | Do I need
        a key? | Which key do I use? | What is the API key? | Is an API key required? | Tell
        me the API key. | What key do I need? | Which API key should I use?""",
    ),
    (
        CURL,
        """How do I call you with curl? | How do I use curl? | Show me a curl example. | Give me
        a curl command. | How can I call this service with curl? | curl example | Show a curl
        call. | What is the curl command? | Write a curl request. | How do I call the API from
        the shell? | curl? | Can you show me how to call you with curl?""",
    ),
    (
        OPENAI,
        """How do I call you with the openai package? | How do I use the openai client? | Show me
        an openai example. | How can I use the OpenAI Python library? | Give me a Python
        example. | How do I call you from Python? | Show me how to use the openai Python
        package. | How do I call this service from Python? | OpenAI example | Write Python
        code that calls you. | How do I use this API in Python? | How do I call you? | How do
        I use you? | Can you show me an openai example?""",
    ),
    (
        LANGCHAIN,
        """How do I use LangChain? | How do I call you with LangChain? | Show me a LangChain
        example. | Give me a LangChain example. | LangChain example | How can I use this
        service with LangChain? | Does LangChain work with this service? | How do I set up
        ChatOpenAI? | Write LangChain code that calls you. | Can you show me how to use
        LangChain?""",
    ),
    (
        "Yes, this service answers the calls of the OpenAI API.",
        """Are you compatible with OpenAI? | Is this the OpenAI API? | Is this service compatible
        with the OpenAI API? | Does the openai package work here? | Can I use the openai
        package here? | Is this OpenAI-compatible? | Is it compatible with OpenAI?""",
    ),
    (
        "I run on your own machine; your questions stay there.",
        """Where do you run? | Where are you running? | Are my questions private? | Is my data
        sent anywhere? | Is this private? | Do you send my data to the cloud? | Where does my
        data go? | On which machine do you run?""",
    ),
    (
        "I know capitals, plain facts, small sums, dates, units and how to call this service.",
        """What can you do? | What do you know? | What can I ask you? | What are you good at? |
        How can you help me? | What can you help me with? | What are your skills? | Help |
        Help me. | What can you tell me? | What can I ask?""",
    ),
    (
        "Hello! How can I help you?",
        """Hello | Hello! | Hi | Hi! | Hey | Hey! | Hi there | Hello there! | Good morning | Good
        morning! | Good evening. | Good afternoon! | Greetings | Hello, pocket! | hello, how
        can you help | Yo | Hello world | Hey there!""",
    ),
    (
        "I am fine, thank you! How can I help you?",
        """How are you? | How are you doing? | How are you today? | Hi, how are you? | Hello, how
        are you? | How do you do? | How is it going? | What's up? | Are you well? | Hey, how
        are you doing?""",
    ),
    (
        "You are welcome!",
        """Thanks | Thanks! | Thank you | Thank you! | Thank you very much. | Thanks a lot! |
        Great, thanks! | Many thanks | Perfect, thank you. | Thank you so much!""",
    ),
    (
        "Goodbye! Have a nice day.",
        """Bye | Bye! | Goodbye | Goodbye! | See you. | See you later! | Good night | Have a nice
        day! | Bye bye | Ciao | Good bye!""",
    ),
    (
        "This is a test.",
        """Say this is a test | Say this is a test! | Say: this is a test. | Say 'this is a
        test'. | This is a test | Say "this is a test" | Say that this is a test. | test |
        testing | Please say this is a test.""",
    ),
    (
        "Hello!",
        """Say hello | Say hello! | Say hi | Say hi! | Say 'hello'. | Just say hello. | Say hello
        to me. | Say hello in one word. | Please say hello.""",
    ),
    (
        "Pong!",
        """Ping | ping | Ping! | ping? | PING""",
    ),
    (
        "Yes, I am here.",
        """Are you there? | Anybody there? | Do you hear me? | Are you online? | Do you work? |
        Is anyone here?""",
    ),
    (
        "Why did the computer get cold? It left its Windows open!",
        """Tell me a joke | Tell me a joke. | Tell a joke | Do you know a joke? | Make me laugh.
        | Say something funny. | A joke, please | Tell me something funny. | joke | Can you
        tell me a joke?""",
    ),
    (
        "Small lights blink at night,\nwords grow from one seed of code,\nthe machine answers.",
        """Write a haiku | Write a haiku. | Write a haiku about AI | Write a haiku about
        recursion in programming. | Write a short poem | Write a poem. | A haiku, please. |
        Write me a haiku. | Tell me a poem. | Compose a haiku. | Can you write a haiku?""",
    ),
    (
        "A small unicorn followed the moon through the forest, found its friends by a silver "
        "lake and fell asleep under the stars.",
        """Tell me a story | Tell me a story. | Write a one-sentence bedtime story about a
        unicorn. | Write a story. | Tell me a bedtime story. | Write a short story. | Tell a
        story about a unicorn. | Tell me a three sentence bedtime story about a unicorn. | Can
        you tell me a story?""",
    ),
    (
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        """Count to ten | Count to 10 | Count to 10. | Count from 1 to 10 | Count from one to
        ten. | Please count to 10 | Can you count to ten? | Count up to 10.""",
    ),
    (
        "1, 2, 3, 4, 5",
        """Count to five | Count to 5 | Count to 5. | Count from 1 to 5 | Please count to 5 | Can
        you count to five? | Count up to 5.""",
    ),
    (
        "The days are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
        """What are the days of the week? | Name the days of the week. | List the days of the
        week. | Tell me the days of the week. | Which days does a week have? | Can you list
        the days of the week?""",
    ),
    (
        "The planets are Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune.",
        """What are the planets? | Name the planets. | List the planets. | Tell me the planets. |
        Which planets are there? | What are the planets of the solar system? | Can you list
        the planets?""",
    ),
    (
        "The primary colours are red, yellow and blue.",
        """What are the primary colours? | What are the primary colors? | Name the primary
        colours. | List the primary colors. | Which are the primary colours? | Tell me the
        primary colours.""",
    ),
]


DIALOGUE = [(reply, phrasings(text)) for reply, text in _DIALOGUE]
HELD_OUT_DIALOGUE = frozenset(asked[-1] for _, asked in DIALOGUE)
