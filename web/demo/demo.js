// The demo page: two devices of one user, and a form that plays the backend.
import { API } from './api.js';
import { Device } from './device.js';
import { avatarOf } from './item.js';
import { TriggerForm } from './trigger.js';

const config = JSON.parse(document.getElementById('config').textContent);
const api = new API(config);
const form = new TriggerForm(api, config);
const devices = [
  new Device('laptop', 'Laptop', api, config, arrived),
  new Device('phone', 'Phone', api, config, arrived),
];

form.timing.watch(devices);
document.getElementById('stage').append(...devices.map((device) => device.element));
document.getElementById('users').append(...config.users.map(userChoice));
show(config.users[0]);
setInterval(() => devices.forEach((device) => device.tick()), 15_000);

function show(user) {
  form.timing.forgetAll();
  form.showUser(user);
  for (const device of devices) device.show(user);
}

function userChoice(user, index) {
  const label = document.createElement('label');
  const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'user', value: user.id, checked: index === 0 });
  input.onchange = () => show(user);
  const face = document.createElement('i');
  face.className = 'avatar avatar--small';
  face.setAttribute('aria-hidden', 'true');
  avatarOf(face, user.name, user.avatarColor);
  label.append(input, face, Object.assign(document.createElement('span'), { textContent: user.name.split(' ')[0] }));
  return label;
}

function arrived(device, item, at) {
  form.timing.arrived(device, item, at);
  if (device === devices[0]) document.getElementById('announcer').textContent = 'A new notification arrived.';
}
