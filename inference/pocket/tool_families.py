"""Families of tools with everyday requests."""

from dataclasses import dataclass

Param = tuple[str, str, str]


@dataclass(frozen=True)
class Family:
    """Tools of one purpose. A param is (key, kind of value, description).

    A request names params as `{key}`; the right call carries exactly those.
    """

    names: list[str]
    about: list[str]
    params: list[Param]
    requests: list[str]
    optional: tuple[str, ...] = ()


_CITY: Param = ("city", "city", "The name of the city")
_LOCATION: Param = ("location", "city", "The city, e.g. San Francisco, CA")
_UNIT: Param = ("unit", "unit", "The unit of the temperature")
_WEATHER = [
    "What's the weather like in {%s} today?",
    "What is the weather in {%s}?",
    "How is the weather in {%s}?",
    "weather in {%s}",
    "Is it raining in {%s}?",
    "What's the temperature in {%s} right now?",
    "What is the temperature in {%s}?",
    "Tell me the weather in {%s}.",
    "Will it be sunny in {%s}?",
    "How warm is it in {%s}?",
    "What's the weather in {%s}?",
    "How's the weather in {%s} today?",
]
_PAIR: list[Param] = [("a", "number", "The first number"), ("b", "number", "The second number")]


def _weather(param: Param) -> list[str]:
    return [request % param[0] for request in _WEATHER]


FAMILIES = [
    Family(
        ["get_weather", "weather", "fetch_weather", "get_current_weather", "weather_lookup"],
        [
            "Get the weather",
            "Get the current weather in a given location",
            "Get the weather of a city.",
            "Current weather",
            "Get current temperature for a given location.",
        ],
        [_CITY],
        _weather(_CITY),
    ),
    Family(
        ["get_weather", "get_current_weather", "get_temperature", "search_weather"],
        [
            "Get the current weather in a given location",
            "Get the weather for a location.",
            "Call to get the current weather.",
            "Determine weather in my location",
        ],
        [_LOCATION, _UNIT],
        _weather(_LOCATION)
        + [
            "What is the weather in {location} in {unit}?",
            "Temperature in {location} in {unit}?",
            "How warm is it in {location}, in {unit}?",
        ],
        ("unit",),
    ),
    Family(
        ["multiply", "multiply_numbers", "product"],
        ["Multiply two numbers.", "Multiply a and b.", "Multiplies a by b"],
        _PAIR,
        [
            "What is {a} times {b}?",
            "Multiply {a} by {b}.",
            "What is {a} * {b}?",
            "What's {a} multiplied by {b}?",
            "Multiply {a} and {b}",
            "{a} times {b}?",
        ],
    ),
    Family(
        ["add", "add_numbers", "sum"],
        ["Add two numbers.", "Adds a and b.", "The sum of a and b"],
        _PAIR,
        [
            "What is {a} plus {b}?",
            "Add {a} and {b}.",
            "What is {a} + {b}?",
            "What's {a} plus {b}?",
            "Add {a} to {b}",
        ],
    ),
    Family(
        ["divide", "divide_numbers"],
        ["Divide a by b.", "Divides a by b"],
        _PAIR,
        ["What is {a} divided by {b}?", "Divide {a} by {b}.", "What is {a} / {b}?"],
    ),
    Family(
        ["subtract", "subtract_numbers"],
        ["Subtract b from a.", "Subtracts b from a"],
        _PAIR,
        ["What is {a} minus {b}?", "What is {a} - {b}?", "{a} minus {b}?"],
    ),
    Family(
        ["calculator", "calculate", "evaluate", "math"],
        [
            "Evaluate an arithmetic expression",
            "A calculator.",
            "Calculate the value of an expression",
        ],
        [("expression", "expression", "The expression to evaluate")],
        [
            "Calculate {expression}",
            "What is {expression}?",
            "Compute {expression}.",
            "How much is {expression}?",
            "Please evaluate {expression}.",
        ],
    ),
    Family(
        ["search", "web_search", "search_web", "search_engine", "find"],
        ["Search the web", "Search the internet for a query.", "Web search", "Look things up."],
        [("query", "words", "What to search for")],
        [
            "Search for {query}",
            "Search the web for {query}.",
            "Find pages about {query}.",
            "Look up {query}.",
            "Google {query}",
            "What do you find about {query}?",
        ],
    ),
    Family(
        ["send_email", "email", "send_mail", "mail"],
        ["Send an email", "Send an email to a person."],
        [
            ("to", "email", "The address of the recipient"),
            ("subject", "words", "The subject"),
            ("body", "words", "The text"),
        ],
        [
            "Send an email to {to} with the subject {subject} and the text {body}.",
            "Email {to}: {body}",
            "Write to {to} about {subject}.",
            "Send {to} a mail with the subject {subject}",
        ],
        ("subject", "body"),
    ),
    Family(
        ["get_time", "current_time", "get_current_time", "clock"],
        ["Get the current time", "Get the time in a city", "Tells the time."],
        [_CITY],
        [
            "What time is it in {city}?",
            "Tell me the time in {city}.",
            "Current time in {city}?",
            "How late is it in {city}?",
        ],
    ),
    Family(
        ["get_delivery_date", "order_status", "track_order", "get_order"],
        ["Get the delivery date of an order", "Look up an order", "Status of an order."],
        [("order_id", "code", "The id of the order")],
        [
            "When will my order {order_id} arrive?",
            "Where is order {order_id}?",
            "What is the status of order {order_id}?",
            "Track order {order_id}.",
            "My order id is {order_id}, when will it arrive?",
        ],
    ),
    Family(
        ["translate", "translate_text", "translation"],
        ["Translate a text", "Translates text into another language."],
        [
            ("text", "words", "The text to translate"),
            ("language", "language", "The language to translate to"),
        ],
        [
            "Translate {text} to {language}.",
            "Translate {text} into {language}",
            "How do you say {text} in {language}?",
            "What is {text} in {language}?",
        ],
    ),
    Family(
        ["create_event", "add_event", "schedule_meeting", "book_meeting"],
        ["Create an event in the calendar", "Schedule a meeting."],
        [
            ("title", "words", "The title"),
            ("date", "date", "The date"),
            ("time", "time", "The time"),
        ],
        [
            "Add an event {title} on {date}.",
            "Schedule {title} on {date} at {time}.",
            "Put {title} in my calendar on {date}.",
            "Create an event called {title} on {date} at {time}",
        ],
        ("time",),
    ),
    Family(
        ["set_timer", "start_timer", "timer"],
        ["Set a timer", "Start a timer."],
        [("minutes", "number", "How many minutes")],
        [
            "Set a timer for {minutes} minutes.",
            "Start a timer of {minutes} minutes",
            "Wake me in {minutes} minutes.",
            "Timer: {minutes} minutes",
        ],
    ),
    Family(
        ["get_user", "find_user", "lookup_user", "get_customer"],
        ["Look up a user", "Find a user by name."],
        [("name", "person", "The name of the user")],
        [
            "Who is the user {name}?",
            "Look up {name}.",
            "Find the user {name}.",
            "Show me the customer {name}",
            "Get the data of {name}.",
        ],
    ),
    Family(
        ["play_music", "play_song", "play"],
        ["Play music", "Play a song."],
        [("song", "words", "The title of the song")],
        ["Play {song}.", "Play the song {song}", "I want to hear {song}.", "Please play {song}"],
    ),
    Family(
        ["convert_currency", "currency_converter", "convert_money"],
        ["Convert money", "Convert an amount from one currency to another."],
        [
            ("amount", "amount", "The amount"),
            ("from_currency", "currency", "From"),
            ("to_currency", "currency", "To"),
        ],
        [
            "Convert {amount} {from_currency} to {to_currency}.",
            "How much is {amount} {from_currency} in {to_currency}?",
            "What are {amount} {from_currency} in {to_currency}?",
        ],
    ),
    Family(
        ["get_horoscope", "horoscope"],
        ["Get today's horoscope for an astrological sign."],
        [("sign", "word", "The sign, like Taurus or Aquarius")],
        [
            "What is my horoscope? I am an {sign}.",
            "My horoscope: I am {sign}.",
            "Tell me the horoscope of {sign}.",
        ],
    ),
    Family(
        ["read_file", "open_file", "load_file"],
        ["Read a file", "Read the content of a file."],
        [("path", "word", "The path of the file")],
        [
            "Read the file {path}.",
            "Open {path}",
            "What is in the file {path}?",
            "Show me the file {path}.",
        ],
    ),
    Family(
        ["search_docs", "search_knowledge_base", "retrieve", "search_documents"],
        ["Search the documents", "Query a knowledge base.", "Retrieve documents"],
        [("query", "words", "The query"), ("limit", "number", "How many results")],
        [
            "What do our documents say about {query}?",
            "Find documents about {query}.",
            "Search our documents for {query}.",
            "Show me {limit} documents about {query}.",
            "Find {limit} documents on {query}",
        ],
        ("limit",),
    ),
]

# Never in the corpus: what the evaluation calls unseen tools.
HELD_OUT_FAMILIES = [
    Family(
        ["get_stock_price", "stock_quote"],
        ["Get the price of a stock", "Current stock price."],
        [("symbol", "code", "The symbol of the stock")],
        ["What is the stock price of {symbol}?", "Show me the price of the stock {symbol}."],
    ),
    Family(
        ["book_hotel", "reserve_room"],
        ["Book a room in a hotel"],
        [_CITY, ("nights", "number", "The number of nights")],
        [
            "Book a hotel in {city} for {nights} nights.",
            "I need a room in {city} for {nights} nights.",
        ],
    ),
    Family(
        ["get_population", "population"],
        ["Get the population of a city"],
        [_CITY],
        ["How many people live in {city}?", "What is the population of {city}?"],
    ),
    Family(
        ["call_taxi", "order_taxi"],
        ["Call a taxi"],
        [("address", "words", "Where to go")],
        ["Call a taxi to {address}.", "I need a taxi to {address}"],
    ),
]
