const GIVE_UP = 5000; // ms after which a device that got nothing is said to have got nothing
const KEPT = 20; // runs that the median is of

// Timing shows how long it took from the click until the trigger was accepted, and until each device had the frame.
export class Timing {
  #element; #runs = []; #devices = []; #totals = [];

  constructor(element) {
    this.#element = element;
  }

  // begin starts a run for the devices that are live now.
  begin(workflow, clickedAt) {
    const run = { workflow, clickedAt, at: new Map(), waiting: new Set(this.#devices.filter((d) => d.session.state === 'live')) };
    this.#runs.push(run);
    run.giveUp = setTimeout(() => this.#end(run), GIVE_UP);
    this.#draw(run);
    return {
      accepted: (at) => this.#note(run, 'Accepted', at),
      failed: (message) => {
        run.error = message;
        this.#end(run);
      },
    };
  }

  watch(devices) {
    this.#devices = devices;
  }

  // arrived is told of every item that came to a device: the oldest run that still waits for it is meant.
  arrived(device, item, at) {
    const run = this.#runs.find((r) => r.workflow === item.workflow && r.waiting.has(device));
    if (!run) return;
    run.waiting.delete(device);
    this.#note(run, device.name, at);
  }

  forgetAll() {
    for (const run of this.#runs) clearTimeout(run.giveUp);
    this.#runs = [];
    this.#element.replaceChildren();
  }

  #note(run, who, at) {
    run.at.set(who, at - run.clickedAt);
    if (run.waiting.size === 0 && run.at.has('Accepted') && !run.error) {
      const { Accepted, ...devices } = Object.fromEntries(run.at);
      if (run.at.size > 1) this.#totals = [...this.#totals, Math.max(...Object.values(devices))].slice(-KEPT);
      this.#end(run);
    }
    if (run === this.#runs.at(-1) || !this.#runs.includes(run)) this.#draw(run);
  }

  #end(run) {
    clearTimeout(run.giveUp);
    run.over = true;
    this.#runs = this.#runs.filter((other) => other !== run);
    if (run.error || run.waiting.size > 0) this.#draw(run);
  }

  #draw(run) {
    const rows = ['Accepted', ...this.#devices.map((device) => device.name)];
    const longest = Math.max(8, ...run.at.values());
    const list = document.createElement('dl');
    for (const name of rows) list.append(...this.#row(name, run, longest));
    this.#element.replaceChildren(list);
    if (run.error) this.#element.append(note('is-error', run.error));
    else if (this.#totals.length > 1) {
      this.#element.append(note('', `Median of the last ${this.#totals.length}: ${ms(median(this.#totals))} from click to the last device`));
    }
  }

  #row(name, run, longest) {
    const took = run.at.get(name);
    const device = this.#devices.find((d) => d.name === name);
    const missing = run.over ? 'nothing came' : '…';
    const expected = !device || run.waiting.has(device) || took !== undefined;
    const value = took !== undefined ? ms(took) : expected ? missing : 'offline';
    const term = Object.assign(document.createElement('dt'), { textContent: name });
    const bar = Object.assign(document.createElement('dd'), { className: 'timing__bar' });
    const fill = document.createElement('i');
    fill.style.width = `${took === undefined ? 0 : (100 * took) / longest}%`;
    bar.append(fill);
    const number = Object.assign(document.createElement('dd'), { className: 'timing__value', textContent: value });
    number.dataset.timing = name;
    return [term, bar, number];
  }
}

const ms = (value) => `${value.toFixed(value < 100 ? 1 : 0)} ms`;

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function note(className, text) {
  return Object.assign(document.createElement('p'), { className, textContent: text });
}
