import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {createOpenAICompatible} from '@ai-sdk/openai-compatible';
import {generateObject, generateText, jsonSchema, stepCountIs, streamText, tool} from 'ai';
import {checkWeather, model, start, weather} from './server.mjs';

let server, chat;
before(async () => {
  server = await start();
  const provider = createOpenAICompatible(
      {name: 'axk1', baseURL: `${server.url}/v1`, supportsStructuredOutputs: true,
       includeUsage: true});
  chat = provider(model);
});
after(async () => { assert.equal(await server?.stop(), 0); });

const request = {prompt: '대한민국의 수도는 어디야?', temperature: 0, maxOutputTokens: 24,
                 maxRetries: 0};

test('text, whole and streamed, is the same', async () => {
  const whole = await generateText({...request, model: chat});
  const stream = streamText({...request, model: chat});
  let text = '';
  for await (const piece of stream.textStream) text += piece;
  assert.ok(text.length > 0);
  assert.equal(text, whole.text);
  assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
});

test('an object by a schema', async () => {
  const {object} = await generateObject({
    ...request, model: chat, maxOutputTokens: 64,
    schema: jsonSchema({type: 'object', additionalProperties: false, required: ['kind', 'age'],
                        properties: {kind: {enum: ['cat', 'dog']},
                                     age: {type: 'integer', minimum: 0, maximum: 30}}}),
  });
  assert.ok(['cat', 'dog'].includes(object.kind));
  assert.ok(Number.isInteger(object.age) && object.age >= 0 && object.age <= 30);
});

test('a tool is called, runs, and the model goes on', async () => {
  const seen = [];
  const result = await generateText({
    ...request, model: chat, maxOutputTokens: 128, stopWhen: stepCountIs(2),
    tools: {[weather.name]: tool({
      description: weather.description,
      inputSchema: jsonSchema(weather.schema),
      execute: async (args) => { seen.push(args); return '맑음, 21도'; },
    })},
    toolChoice: {type: 'tool', toolName: weather.name},
  });
  assert.ok(seen.length >= 1);
  for (const args of seen) checkWeather(assert, args);
  assert.equal(result.steps.length, 2);
});
