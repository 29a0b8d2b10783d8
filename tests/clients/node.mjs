// Runs in the folder made of package.json; prints one JSON object per question.
import OpenAI, { BadRequestError, NotFoundError } from 'openai'

const [base, model] = process.argv.slice(2)
const client = new OpenAI({ baseURL: base, apiKey: 'x', maxRetries: 0 })
const user = (content) => [{ role: 'user', content }]
const said = (name, value) => console.log(JSON.stringify({ [name]: value }))
const question = { model, messages: user('What is the capital of France?'), temperature: 0 }
const getWeather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Tells the weather of a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    function: ({ city }) => `sunny in ${city}`,
    parse: JSON.parse,
  },
}

const answer = await client.chat.completions.create(question)
said('invoke', [answer.choices[0].message.content, answer.usage.total_tokens])

let text = ''
for await (const chunk of await client.chat.completions.create({ ...question, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? ''
}
said('stream', text)

const stream = client.chat.completions.stream(question)
said('helper', (await stream.finalChatCompletion()).choices[0].message.content)

const runner = client.chat.completions.runTools({
  model,
  messages: user('What is the weather in Rome?'),
  temperature: 0,
  tools: [getWeather],
})
said('loop', await runner.finalContent())
said('results', runner.messages.filter((each) => each.role === 'tool').map((each) => each.content))

const size = {
  type: 'object',
  properties: { size: { enum: ['small', 'large'] }, count: { type: 'integer', maximum: 9, minimum: 0 } },
  required: ['size', 'count'],
  additionalProperties: false,
}
const parsed = await client.chat.completions.parse({
  ...question,
  response_format: { type: 'json_schema', json_schema: { name: 'size', strict: true, schema: size } },
})
said('parse', JSON.parse(parsed.choices[0].message.content))

const completion = await client.completions.create({
  model,
  prompt: 'The capital of France is',
  max_tokens: 5,
  temperature: 0,
})
said('text', completion.choices[0].text)

try {
  await client.chat.completions.create({ ...question, model: 'nope' })
} catch (error) {
  said('unknown', error instanceof NotFoundError && error.code)
}
try {
  await client.chat.completions.create({ ...question, n: 1000 })
} catch (error) {
  said('too many', error instanceof BadRequestError && error.param)
}
const models = []
for await (const each of client.models.list()) models.push(each.id)
said('models', models)
