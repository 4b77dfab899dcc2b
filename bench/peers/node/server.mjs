// What somebody would write with graphql-ws: a subscription of each user, of plain objects, over ws. It is told what to
// do like the benchmark's other peers, and believes everybody who they are. See peer_serve.go.
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

const pingInterval = 25_000 // as Belfry's
const publishTick = 5 // ms, as that of the other peers
const firstUser = 900_000
const config = JSON.parse(process.argv[2])

const schema = buildSchema(`
  scalar JSON
  scalar Time
  type Badge { total: Int! unseen: Int! unread: Int! }
  type MarkdownBlock { name: String! content: String! rendered: String! }
  type TextBlock { name: String! content: String! rendered: String! }
  union Block = TextBlock | MarkdownBlock
  type FeedItem { id: ID! position: String! actionUrl: String data: JSON createdAt: Time! blocks: [Block!]! }
  interface FeedEvent { position: String! badge: Badge! }
  type FeedSynced implements FeedEvent { position: String! badge: Badge! }
  type FeedItemUpserted implements FeedEvent { position: String! badge: Badge! item: FeedItem! }
  type Query { version: String! }
  type Subscription { feedEvents(since: String): FeedEvent! }
`)

// Feed is what one subscriber has still to be told. What is never taken is never let go of.
class Feed {
  events = []
  taker = null
  ended = false
  constructor(user) { this.user = user }
  push(event) {
    if (this.taker === null) {
      this.events.push(event)
      return
    }
    const taker = this.taker
    this.taker = null
    taker({ value: { feedEvents: event }, done: false })
  }
  next() {
    if (this.ended) return Promise.resolve({ value: undefined, done: true })
    if (this.events.length > 0) return Promise.resolve({ value: { feedEvents: this.events.shift() }, done: false })
    return new Promise((resolve) => { this.taker = resolve })
  }
  return() {
    this.ended = true
    feeds.get(this.user)?.delete(this)
    this.taker?.({ value: undefined, done: true })
    this.taker = null
    return Promise.resolve({ value: undefined, done: true })
  }
  [Symbol.asyncIterator]() { return this }
}

const feeds = new Map() // by user
const numbers = new Array(config.Users).fill(0)

const position = (n) => '00000000001.' + n.toString(36).padStart(10, '0')
const badge = (n) => ({ total: n, unseen: n, unread: n })

function notice(user, n, due, pad) {
  const at = position(n)
  return {
    __typename: 'FeedItemUpserted', position: at, badge: badge(n),
    item: {
      id: `m_${user}_in-app_${n}`, position: at, actionUrl: '/orders/BF-1042', createdAt: new Date(due).toISOString(),
      data: { order: 'BF-1042', stamp: `${n}.${Math.round(due * 1000)}000` },
      blocks: [{ __typename: 'MarkdownBlock', name: 'body', content: 'Hi Ana, order **BF-1042** is on its way.',
        rendered: `<p>Hi Ana, order <strong>BF-1042</strong> is on its way: 3 items, 128.5 €.${'.'.repeat(pad)}</p>\n` }],
    },
  }
}

schema.getSubscriptionType().getFields().feedEvents.subscribe = (_root, _args, context) => {
  const user = context.connectionParams.user
  const feed = new Feed(user)
  if (!feeds.has(user)) feeds.set(user, new Set())
  feeds.get(user).add(feed)
  const n = numbers[Number(user.slice('user-'.length)) - firstUser]
  feed.push({ __typename: 'FeedSynced', position: position(n), badge: badge(n) })
  return feed
}

function publish(order, sent, due) {
  const user = order.first + (sent % order.users)
  const n = ++numbers[user]
  const name = `user-${firstUser + user}`
  for (const feed of feeds.get(name) ?? []) feed.push(notice(name, n, due, order.pad))
}

// pour publishes on schedule, whatever becomes of it. What is late is published at once, and is not due any later.
function pour(order, publish) {
  return new Promise((resolve) => {
    const began = performance.timeOrigin + performance.now()
    let sent = 0
    const tick = () => {
      const ticks = Math.floor((performance.timeOrigin + performance.now() - began) / publishTick)
      for (; sent < order.count; sent++) {
        const due = Math.floor((sent * (1000 / publishTick)) / order.rate)
        if (due > ticks) break
        publish(order, sent, began + due * publishTick)
      }
      if (sent === order.count) {
        resolve()
        return
      }
      const next = began + (ticks + 1) * publishTick
      setTimeout(tick, Math.max(1, Math.ceil(next - performance.timeOrigin - performance.now())))
    }
    tick()
  })
}

async function follow(order) {
  if (order.do === 'publish') await pour(order, publish)
  else if (order.do === 'tick') await pour(order, () => {})
  else for (let i = 0; i < 5; i++) globalThis.gc()
  console.log(JSON.stringify({ id: order.id }))
}

const server = createServer()
useServer({ schema, context: (ctx) => ({ connectionParams: ctx.connectionParams }) }, new WebSocketServer({ server }), pingInterval)
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  console.log(JSON.stringify({ address: `127.0.0.1:${server.address().port}` }))
})
createInterface({ input: process.stdin }).on('line', (line) => follow(JSON.parse(line))).on('close', () => process.exit(0))
