// Does the server speak GraphQL over HTTP? Every audit of graphql-http, those that a server MAY pass included.
//
//   node --test http_audit_test.mjs
//
// SERVER is the address of the server under test, http://host:port, which `go test ./test` starts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverAudits } from 'graphql-http';

for (const audit of serverAudits({ url: process.env.SERVER + '/graphql' })) {
  test(`${audit.id} ${audit.name}`, async () => {
    const result = await audit.fn();
    assert.equal(result.status, 'ok', result.reason);
  });
}
