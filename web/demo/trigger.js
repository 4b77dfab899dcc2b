import { curl, highlight, pretty } from './code.js';
import { TRIGGER } from './operations.js';
import { Timing } from './timing.js';

const byId = (id) => document.getElementById(id);

// TriggerForm plays the backend: it triggers one of the demo's workflows for the user who is shown.
export class TriggerForm {
  timing = new Timing(byId('timing'));
  #api; #config; #workflow; #user; #drafts = new Map();

  constructor(api, config) {
    [this.#api, this.#config] = [api, config];
    byId('workflows').append(...config.workflows.map((workflow) => this.#choice(workflow)));
    byId('trigger').onsubmit = (event) => {
      event.preventDefault();
      this.#send(event.timeStamp);
    };
    byId('operation').replaceChildren(...highlight(TRIGGER));
    byId('copy').onclick = () => this.#copy();
    this.#select(config.workflows[0]);
  }

  showUser(user) {
    this.#user = user;
    this.#preview();
  }

  #choice(workflow) {
    const label = document.createElement('label');
    const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'workflow', value: workflow.key });
    input.checked = workflow === this.#config.workflows[0];
    input.onchange = () => this.#select(workflow);
    label.append(input, Object.assign(document.createElement('span'), { textContent: workflow.title }));
    return label;
  }

  #select(workflow) {
    this.#workflow = workflow;
    if (!this.#drafts.has(workflow)) this.#drafts.set(workflow, { ...workflow.data });
    const draft = this.#drafts.get(workflow);
    byId('description').textContent = workflow.description;
    byId('fields').replaceChildren(...Object.keys(workflow.data ?? {}).map((name) => this.#field(name, draft)));
    this.#preview();
  }

  // field is an input that fits the example's type. What can't be read as JSON is marked, and the last good value kept.
  #field(name, draft) {
    const example = this.#workflow.data[name];
    const isText = typeof example === 'string';
    const long = isText ? example.length > 56 : typeof example === 'object';
    const input = document.createElement(long ? 'textarea' : 'input');
    if (typeof example === 'number') Object.assign(input, { type: 'number', step: 'any' });
    if (typeof example === 'boolean') Object.assign(input, { type: 'checkbox', checked: draft[name] });
    input.value = isText ? draft[name] : pretty(draft[name]);
    if (long) input.rows = isText ? 3 : Math.min(8, input.value.split('\n').length);
    if (long && !isText) input.classList.add('is-code');
    input.oninput = () => {
      try {
        draft[name] = isText ? input.value : input.type === 'checkbox' ? input.checked : JSON.parse(input.value);
        input.setCustomValidity('');
      } catch {
        input.setCustomValidity('This must be JSON, like the example was.');
      }
      this.#preview();
    };
    const label = document.createElement('label');
    label.className = isText && example.length > 24 ? 'field is-wide' : 'field';
    label.append(Object.assign(document.createElement('span'), { textContent: humanise(name) }), input);
    return label;
  }

  #input() {
    const others = this.#config.users.filter((user) => user !== this.#user);
    const recipients = this.#workflow.everyone ? this.#config.users : [this.#user];
    return {
      workflow: this.#workflow.key,
      recipients: recipients.map((user) => ({ user: user.id })),
      ...(this.#workflow.actor && others.length > 0 && { actor: { user: others[0].id } }),
      data: this.#drafts.get(this.#workflow),
    };
  }

  #preview() {
    if (!this.#user) return;
    const variables = { input: this.#input() };
    byId('recipient').textContent = this.#workflow.everyone ? 'everyone' : this.#user.name;
    byId('variables').replaceChildren(...highlight(pretty(variables)));
    byId('curl').textContent = curl(this.#config, TRIGGER, variables);
  }

  async #send(clickedAt) {
    if (!byId('trigger').reportValidity()) return;
    const run = this.timing.begin(this.#workflow.key, clickedAt);
    try {
      let answeredAt;
      const { triggerWorkflow } = await this.#api.asBackend(TRIGGER, { input: this.#input() }, (at) => { answeredAt = at; });
      run.accepted(answeredAt);
      if (triggerWorkflow.rejected.length > 0) run.failed(triggerWorkflow.rejected[0].message);
    } catch (error) {
      run.failed(error.message);
    }
  }

  async #copy() {
    const label = byId('copy').lastElementChild;
    try {
      await navigator.clipboard.writeText(byId('curl').textContent);
      label.textContent = 'Copied';
    } catch { // no permission: select it, so that the keyboard can copy
      getSelection().selectAllChildren(byId('curl'));
      label.textContent = 'Selected';
    }
    setTimeout(() => { label.textContent = 'Copy'; }, 1600);
  }
}

function humanise(name) {
  const words = name.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/[_-]+/g, ' ').toLowerCase();
  return (words[0].toUpperCase() + words.slice(1)).replace(/\b(id|url|eta)\b/gi, (word) => word.toUpperCase());
}
