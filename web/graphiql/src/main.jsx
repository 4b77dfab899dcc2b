import { createRoot } from 'react-dom/client';
import { GraphiQL } from 'graphiql';
import 'graphiql/graphiql.css';
import './page.css';
import { createFetcher } from './fetcher.js';

const config = JSON.parse(document.getElementById('config').textContent);
const headers = config.headers ? JSON.stringify(config.headers, null, 2) : undefined;
const tabs = (config.tabs ?? []).map(({ query, variables }) => ({
  query,
  variables: variables ? JSON.stringify(variables, null, 2) : undefined,
  headers,
}));

createRoot(document.getElementById('graphiql')).render(
  <GraphiQL
    fetcher={createFetcher(config.endpoint)}
    defaultHeaders={headers}
    defaultTabs={tabs.length ? tabs : undefined}
    variables={tabs[0]?.variables} // of the first tab it takes the query only
    defaultEditorToolsVisibility="variables"
    // Keys stay out of local storage: the server hands them out anew with the page.
    shouldPersistHeaders={false}
    storage={memory(tabs.length > 0)}
  >
    <GraphiQL.Logo>
      <a className="belfry-logo" href={config.home || './'}>{config.title}</a>
    </GraphiQL.Logo>
  </GraphiQL>,
);

// Headers are not persisted, so that tabs restored from storage would come back without their key. Where the server
// hands out tabs, every visit therefore begins with those; history, theme and layout are remembered.
function memory(beginAnew) {
  const forget = (key) => beginAnew && /:(tabState|query|variables|headers)$/.test(key);
  return {
    getItem: (key) => (forget(key) ? null : localStorage.getItem(key)),
    setItem: (key, value) => forget(key) || localStorage.setItem(key, value),
    removeItem: (key) => localStorage.removeItem(key),
    clear: () => localStorage.clear(),
    get length() { return localStorage.length; },
  };
}
