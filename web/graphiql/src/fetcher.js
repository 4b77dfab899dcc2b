import { Kind, parse } from 'graphql';
import { createClient } from 'graphql-ws';

// createFetcher sends queries and mutations over HTTP, and subscriptions over a WebSocket of their own that lives as
// long as the subscription. The credentials of both are what the headers editor says at that moment.
export function createFetcher(endpoint) {
  return (request, { headers = {} } = {}) => {
    const { operation, ...rest } = chosen(request);
    return operation === 'subscription' ? subscribe(endpoint, rest, headers) : post(endpoint, rest, headers);
  };
}

// chosen tells the kind of operation that will run. Just after a change of tabs GraphiQL still names the operation of the
// tab before, so a name that isn't in the document is left out.
function chosen({ query, variables, operationName }) {
  let operations = [];
  try {
    operations = parse(query).definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  } catch { /* the server says what is wrong, and where */ }
  const named = operations.find(({ name }) => name && name.value === operationName);
  const name = named || operations.length === 0 ? operationName : undefined;
  return { query, variables, operationName: name, operation: (named ?? operations[0])?.operation };
}

async function post(endpoint, request, headers) {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json, application/json',
      ...headers,
    },
    body: JSON.stringify(request),
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `${response.status} ${response.statusText}: ${text.slice(0, 500)}` }] };
  }
}

async function* subscribe(endpoint, request, headers) {
  const url = new URL(endpoint, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const client = createClient({
    url: url.href,
    connectionParams: credentials(headers),
    retryAttempts: 0, // whoever explores an API wants to see that the socket closed, and why
  });
  try {
    yield* client.iterate(request);
  } catch (error) {
    yield { errors: [describe(error)] };
  } finally {
    client.dispose();
  }
}

// credentials are connection_init's payload. The headers editor may name them as HTTP does or as the payload does.
function credentials(headers) {
  const payload = {};
  for (const [name, value] of Object.entries(headers)) {
    if (/^authorization$/i.test(name)) payload.authorization = value;
    if (/^(x-belfry-user-token|userToken)$/i.test(name)) payload.userToken = value;
  }
  return payload;
}

function describe(error) {
  if (Array.isArray(error)) return error[0];
  if (error?.code) return { message: `The socket was closed: ${error.code} ${error.reason || ''}`.trim() };
  return { message: error?.message ?? String(error) };
}
