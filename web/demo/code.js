// Code on the page: a little colour, and the curl command.
const TOKEN = /(?<string>"(?:[^"\\]|\\.)*")(?<key>\s*:)?|(?<variable>\$\w+)|(?<keyword>\b(?:mutation|query|subscription|fragment|on|true|false|null)\b)|(?<number>-?\b\d+(?:\.\d+)?\b)|(?<type>\b[A-Z]\w*!?)/g;

// highlight cuts GraphQL or JSON into nodes: text, and spans with a class.
export function highlight(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [kind, value] = Object.entries(match.groups).find(([, found]) => found !== undefined);
    nodes.push(text.slice(end, match.index));
    nodes.push(Object.assign(document.createElement('span'), { className: `t-${match.groups.key ? 'key' : kind}`, textContent: value }));
    end = match.index + value.length;
  }
  return [...nodes, text.slice(end)];
}

// pretty is indented JSON in which what is short stays on its line.
export function pretty(value) {
  return JSON.stringify(value, null, 2)
    .replace(/\{\s+("[^"]+": [^\n{}[\],]+(?:,\s+"[^"]+": [^\n{}[\],]+){0,1})\s+\}/g, (_, members) => `{ ${members.replace(/\s+/g, ' ')} }`)
    .replace(/\[\s+(\{ [^\n{}]+ \})\s+\]/g, '[$1]');
}

// curl is the command that sends the same to the same server.
export function curl({ endpoint, secretKey }, query, variables) {
  const body = JSON.stringify({ query: query.replace(/\s+/g, ' '), variables });
  return [
    `curl -s ${new URL(endpoint, location.href)}`,
    `  -H 'Authorization: Bearer ${secretKey}'`,
    "  -H 'Content-Type: application/json'",
    `  -d ${quote(body)}`,
  ].join(' \\\n');
}

function quote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
