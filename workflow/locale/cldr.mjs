// Writes cldr.json, what this package knows about locales, and testdata/intl.json, what
// its functions are expected to return. Both come from the CLDR data in node's ICU:
//
//     node cldr.mjs
//
// Patterns are found by formatting samples and looking at the parts. They hold
// placeholders in braces; see the type patterns in data.go.
import { mkdirSync, writeFileSync } from 'node:fs'

const locales = ('en en-AU en-CA en-GB en-IN ar bg bn ca cs da de de-AT de-CH el es es-419 es-MX et fa fi fil fr fr-CA fr-CH ' +
  'he hi hr hu id is it ja ko lt lv ms nb nl pl pt pt-PT ro ru sk sl sr sr-Latn sv sw ta th tr uk ur vi zh zh-Hant').split(' ')
const styles = ['short', 'medium', 'long', 'full']
const currencies = [...Intl.supportedValuesOf('currency'), 'BOV', 'CHE', 'CHW', 'CLF', 'COU', 'MXV', 'USN', 'UYI', 'UYW'].sort() // with ISO 4217's codes of funds
const zones = { plus: 'Asia/Kathmandu', minus: 'America/St_Johns' } // +5:45, -3:30

const utc = (...a) => new Date(Date.UTC(...a))
const parts = (format, value) => format.formatToParts(value)
const find = (ps, type) => ps.find(p => p.type === type)?.value
const only = values => {
  const set = new Set(values)
  if (set.size !== 1) throw new Error(`expected one value: ${[...set]}`)
  return values[0]
}
const ascii = (text, digits) => [...text].map(c => (digits.includes(c) ? digits.indexOf(c) : c)).join('')

// A symbol that ends in a mark of direction has it in the part that follows.
const symbol = ps => {
  const i = ps.findIndex(p => p.type === 'currency')
  return ps[i].value + (ps[i + 1]?.value === '\u200f' ? '\u200f' : '')
}

function numbers(tag) {
  const plain = new Intl.NumberFormat(tag)
  const money = new Intl.NumberFormat(tag, { style: 'currency', currency: 'EUR' })
  const digits = [...new Intl.NumberFormat(tag, { useGrouping: false }).format(9876543210)].reverse()
  const layout = (format, value) => {
    const ps = parts(format, value)
    const text = ps.map(p => (['integer', 'group', 'decimal', 'fraction'].includes(p.type) ? '{n}' : p.type === 'currency' ? '{c}' : p.value)).join('')
    return text.replace(/({n})+/, '{n}')
  }
  const groups = parts(plain, 123456789).filter(p => p.type === 'integer').map(p => [...p.value].length)
  const describe = format => ({
    decimal: find(parts(format, 1.5), 'decimal'),
    group: find(parts(format, 1234567), 'group') ?? '',
    positive: layout(format, 1),
    negative: layout(format, -1),
  })
  return {
    digits: digits.join('') === '0123456789' ? undefined : digits.join(''),
    grouping: { primary: groups.at(-1), secondary: groups.at(-2), minimum: find(parts(plain, 1234), 'group') ? 1 : 2 },
    number: describe(plain),
    currency: describe(money),
    symbols: Object.fromEntries(currencies.map(code => [code, symbol(parts(new Intl.NumberFormat(tag, { style: 'currency', currency: code }), 1))])
      .filter(([code, symbol]) => code !== symbol)),
  }
}

function dates(tag, digits) {
  const ca = `${tag}-u-ca-gregory`
  const options = (style, time) => ({ dateStyle: style, ...(time && { timeStyle: style }), timeZone: 'UTC' })
  const result = { date: [], datetime: [], months: {}, weekdays: undefined, periods: undefined, zone: undefined }
  for (const style of styles) {
    for (const [kind, time] of [['date', false], ['datetime', true]]) {
      const format = new Intl.DateTimeFormat(ca, options(style, time))
      // Browsers print a plain space where CLDR has a narrow one in dates; its parts still have it.
      const at = d => parts(format, d).map(p => ({ type: p.type, value: ascii(p.value.replaceAll('\u202f', ' '), digits) }))
      const sample = at(utc(2026, 8, 3, 2, 5, 6))
      const afternoon = find(at(utc(2026, 8, 3, 14, 5, 6)), 'hour')
      const midnight = find(at(utc(2026, 8, 3, 0, 5, 6)), 'hour')
      const pattern = sample.map(({ type, value }) => {
        switch (type) {
          case 'year': return { 26: '{yy}', 2026: '{y}' }[value]
          case 'day': return value === '3' ? '{d}' : '{dd}'
          case 'minute': return value === '5' ? '{m}' : '{mm}'
          case 'second': return value === '6' ? '{s}' : '{ss}'
          case 'hour': {
            if (afternoon === '14' && midnight === (value === '02' ? '00' : '0')) return value === '02' ? '{HH}' : '{H}'
            if (Number(afternoon) === 2 && midnight === '12') return value === '02' ? '{hh}' : '{h}'
            throw new Error(`${tag} ${style}: hours ${value} ${afternoon} ${midnight}`)
          }
          case 'dayPeriod': return '{a}'
          case 'timeZoneName': return '{z}'
          case 'weekday': {
            const names = [...Array(7).keys()].map(i => find(at(utc(2026, 1, 1 + i, 2)), 'weekday')) // 2026-02-01 is a Sunday
            result.weekdays = only([JSON.stringify(result.weekdays ?? names), JSON.stringify(names)]) && names
            return '{E}'
          }
          case 'month': {
            if (value === '9') return '{M}'
            if (value === '09') return '{MM}'
            const names = [...Array(12).keys()].map(m => find(at(utc(2026, m, 3, 2)), 'month'))
            const key = style === 'full' && JSON.stringify(names) === JSON.stringify(result.months.long) ? 'long' : style
            result.months[key] = only([JSON.stringify(result.months[key] ?? names), JSON.stringify(names)]) && names
            return `{month:${key}}`
          }
          case 'literal': case 'era': return value
          default: throw new Error(`${tag} ${style}: unknown part ${type}`)
        }
      }).join('')
      if (pattern.includes('undefined')) throw new Error(`${tag} ${style}: ${pattern}`)
      result[kind].push(pattern)
      if (pattern.includes('{a}')) {
        const hours = [...Array(24).keys()].map(h => find(at(utc(2026, 8, 3, h, 1)), 'dayPeriod'))
        const halves = new Set(hours.slice(0, 12)).size + new Set(hours.slice(12)).size === 2
        const periods = halves ? [hours[0], hours[12]] : hours // some languages name parts of the day
        result.periods = only([JSON.stringify(result.periods ?? periods), JSON.stringify(periods)]) && periods
      }
    }
  }
  const offset = zone => find(parts(new Intl.DateTimeFormat(ca, { timeZone: zone, timeZoneName: 'shortOffset', hour: 'numeric' }), utc(2026, 0, 1)), 'timeZoneName')
  const template = (zone, h) => {
    const text = ascii(offset(zone), digits)
    const m = text.match(new RegExp(`${h}[:.](45|30)`))
    if (!m) throw new Error(`${tag}: ${text}`)
    return text.replace(m[0], '{o}')
  }
  result.zone = { plus: template(zones.plus, 5), minus: template(zones.minus, 3), separator: ascii(offset(zones.plus), digits).match(/5([:.])45/)[1] }
  return result
}

const data = { cldr: process.versions.cldr, currencies, locales: {} }
for (const tag of locales) {
  const n = numbers(tag)
  data.locales[tag] = { ...n, ...dates(tag, n.digits ? [...n.digits] : [...'0123456789']) }
}

// What the functions should return, for values that patterns weren't taken from.
const instants = ['2026-01-09T00:00:00Z', '2026-05-31T12:30:45Z', '2024-02-29T23:59:59Z', '1999-12-01T11:07:08Z', '2026-11-15T13:45:00Z']
const expected = {}
for (const tag of locales) {
  const ca = `${tag}-u-ca-gregory`
  const e = (expected[tag] = { dates: {}, numbers: {}, currencies: {}, plurals: {} })
  for (const instant of instants) {
    e.dates[instant] = styles.flatMap(style => [
      new Intl.DateTimeFormat(ca, { dateStyle: style, timeZone: 'UTC' }).format(new Date(instant)),
      // The names of zones are not kept, and full has them.
      ...(style !== 'full' ? [new Intl.DateTimeFormat(ca, { dateStyle: style, timeStyle: style, timeZone: 'UTC' }).format(new Date(instant))] : []),
    ])
  }
  for (const n of ['0', '7', '999', '1000', '-1234.5', '12345.678', '-1234567.891', '98765432109.25']) {
    e.numbers[n] = new Intl.NumberFormat(tag, { minimumFractionDigits: 0, maximumFractionDigits: 2 }).format(n)
  }
  const rules = new Intl.PluralRules(tag)
  for (const n of [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 19, 20, 21, 22, 99, 100, 101, 102, 103, 111, 112, 1000, 1000000, 1000001, 2000000, 0.1, 0.5, 1.5, 2.1]) {
    // Icelandic fractions follow a newer rule than golang.org/x/text has.
    if (tag !== 'is' || Number.isInteger(n)) e.plurals[n] = rules.select(n)
  }
  for (const code of ['USD', 'EUR', 'GBP', 'JPY', 'KWD', 'CHF', 'INR', 'BRL', 'XAF']) {
    e.currencies[code] = ['1', '-1234.5', '1234567.8'].flatMap(n => [
      new Intl.NumberFormat(tag, { style: 'currency', currency: code }).format(n),
      new Intl.NumberFormat(tag, { style: 'currency', currency: code, minimumFractionDigits: 0, maximumFractionDigits: 0 }).format(n),
    ])
  }
}

// One locale a line keeps differences readable.
const lines = object => '{\n' + Object.entries(object).map(([k, v]) => `${JSON.stringify(k)}: ${JSON.stringify(v)}`).join(',\n') + '\n}'
writeFileSync('cldr.json', `{\n"cldr": ${JSON.stringify(data.cldr)},\n"currencies": ${JSON.stringify(data.currencies)},\n"locales": ${lines(data.locales)}\n}\n`)
mkdirSync('testdata', { recursive: true })
writeFileSync('testdata/intl.json', lines(expected) + '\n')
