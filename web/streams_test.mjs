// What the client of graphql-sse makes of the server's streams of events.
//
//   node --test streams_test.mjs
//
// SERVER is the address of the server under test, http://host:port, which `go test ./test` starts; PUBLIC_KEY and
// USER_TOKEN are a frontend's, SECRET_KEY a backend's, which may trigger the workflow "w" for the user.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from 'graphql-sse';

const { SERVER, PUBLIC_KEY, USER_TOKEN, SECRET_KEY, USER } = process.env;
const WAIT = 20_000; // ms
const url = SERVER + '/graphql';
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, ok) {
  for (const end = Date.now() + WAIT; !(await ok()); await sleep(10)) {
    if (Date.now() > end) throw new Error(`not within ${WAIT} ms: ${what}`);
  }
}

// Networks that fail: breakAll ends all responses that are under way.
const networks = new Set();
function breakAll() {
  for (const network of networks) network.abort();
  networks.clear();
}
function fetchFn(address, init) {
  const network = new AbortController();
  networks.add(network);
  return fetch(address, { ...init, signal: AbortSignal.any([init.signal, network.signal]) });
}

const client = createClient({
  url,
  fetchFn,
  retry: () => sleep(20),
  headers: { authorization: `Bearer ${PUBLIC_KEY}`, 'x-belfry-user-token': USER_TOKEN },
});

async function trigger() {
  const query = 'mutation ($input: TriggerWorkflowInput!) { triggerWorkflow(input: $input) { trigger { id } } }';
  const variables = { input: { workflow: 'w', recipients: [{ user: USER }] } };
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${SECRET_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  assert.equal((await response.json()).errors, undefined);
}

function follow(request) {
  const heard = { results: [], error: null, done: false };
  heard.stop = client.subscribe(request, {
    next: (result) => heard.results.push(result),
    error: (error) => { heard.error = error; },
    complete: () => { heard.done = true; },
  });
  return heard;
}

test('a query has one result', async () => {
  const heard = follow({ query: '{ feed { badge { total } } }' });
  await until('it is done', () => heard.done);
  assert.equal(heard.results.length, 1);
  assert.equal(typeof heard.results[0].data.feed.badge.total, 'number');
});

test('a document that does not fit the schema has a result with errors', async () => {
  const heard = follow({ query: 'subscription { nonsense }' });
  await until('it is done', () => heard.done);
  assert.match(heard.results[0].errors[0].message, /nonsense/);
  assert.ok(!('data' in heard.results[0]));
});

test('a feed goes on where it was when the network comes back', async () => {
  let position;
  const heard = follow({
    query: `subscription ($since: String) { feedEvents(since: $since) { __typename position } }`,
    variables: { get since() { return position; } },
  });
  const events = () => heard.results.map(({ data, errors }) => {
    assert.equal(errors, undefined);
    position = data.feedEvents.position;
    return data.feedEvents;
  });
  const items = () => events().filter((e) => e.__typename === 'FeedItemUpserted').map((e) => e.position);
  await until('it is live', () => events().length === 1);
  assert.equal(events()[0].__typename, 'FeedSynced');
  await trigger();
  await until('the first item', () => items().length === 1);
  breakAll();
  await trigger();
  await until('the second item', () => items().length === 2);
  breakAll();
  breakAll();
  await trigger();
  await until('the third item', () => items().length === 3);
  assert.deepEqual(items(), [...new Set(items())].sort(), 'each once, in order');
  assert.equal(heard.error, null);
  heard.stop();
  await until('it is done', () => heard.done);
});
