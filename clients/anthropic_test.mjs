import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import {checkWeather, model, start, weather} from './server.mjs';

let server, client;
before(async () => {
  server = await start();
  client = new Anthropic({baseURL: server.url, apiKey: 'none', maxRetries: 0});
});
after(async () => { assert.equal(await server?.stop(), 0); });

const messages = [{role: 'user', content: '대한민국의 수도는 어디야?'}];
const greedy = {model, temperature: 0, max_tokens: 24, messages};
const tools = [{name: weather.name, description: weather.description,
                input_schema: weather.schema}];

test('messages, whole and streamed, are the same text', async () => {
  const whole = await client.messages.create(greedy);
  assert.equal(whole.role, 'assistant');
  assert.ok(['end_turn', 'max_tokens'].includes(whole.stop_reason));
  const text = whole.content.find((block) => block.type === 'text').text;
  let streamed = '';
  const stream = client.messages.stream(greedy).on('text', (piece) => { streamed += piece; });
  const final = await stream.finalMessage();
  assert.equal(streamed, text);
  assert.deepEqual(final.content, whole.content);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test('count_tokens agrees with usage', async () => {
  const {input_tokens} = await client.messages.countTokens({model, messages});
  assert.equal(input_tokens, (await client.messages.create(greedy)).usage.input_tokens);
});

test('a system prompt and a stop sequence', async () => {
  const whole = await client.messages.create({...greedy, system: '짧게 대답해.'});
  const text = whole.content[0].text;
  const stop = [...text].slice(2, 4).join('');
  const cut = await client.messages.create({...greedy, system: '짧게 대답해.',
                                            stop_sequences: [stop]});
  assert.equal(cut.stop_reason, 'stop_sequence');
  assert.equal(cut.stop_sequence, stop);
});

test('tools, forced, and the loop back', async () => {
  const called = await client.messages.create(
      {...greedy, max_tokens: 128, tools, tool_choice: {type: 'any'}});
  assert.equal(called.stop_reason, 'tool_use');
  const use = called.content.find((block) => block.type === 'tool_use');
  checkWeather(assert, use.input);
  const answered = await client.messages.create({
    ...greedy, tools, tool_choice: {type: 'none'},
    messages: [...messages, {role: 'assistant', content: called.content},
               {role: 'user', content: [{type: 'tool_result', tool_use_id: use.id,
                                         content: '맑음'}]}],
  });
  assert.ok(answered.content.some((block) => block.type === 'text'));
});

test('streamed tool input comes together', async () => {
  const final = await client.messages.stream(
      {...greedy, max_tokens: 128, tools, tool_choice: {type: 'tool', name: weather.name}})
      .finalMessage();
  checkWeather(assert, final.content.find((block) => block.type === 'tool_use').input);
});

test('thinking', async () => {
  const final = await client.messages.stream(
      {model, max_tokens: 1200, thinking: {type: 'enabled', budget_tokens: 1024},
       messages: [{role: 'user', content: '12 + 30 = ?'}]}).finalMessage();
  assert.equal(final.content[0].type, 'thinking');
});

test('errors are told apart', async () => {
  await assert.rejects(client.messages.create({...greedy, model: 'claude'}),
                       Anthropic.NotFoundError);
  await assert.rejects(client.messages.create({...greedy, max_tokens: -1}),
                       Anthropic.BadRequestError);
});
