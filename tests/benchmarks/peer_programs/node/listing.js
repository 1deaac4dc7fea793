// A listing as Fastify's users write it: pg's pool, a schema of the response, which makes its JSON fast.
'use strict'

const fastify = require('fastify')()
const { Pool, types } = require('pg')

// Amounts are below 2^53.
types.setTypeParser(types.builtins.INT8, Number)

const pool = new Pool({
  host: process.env.PEER_SOCKET_FOLDER,
  port: 5432,
  user: 'postgres',
  database: process.env.PEER_DATABASE
})

const text = { type: 'string' }
const amount = { type: ['integer', 'null'] }
const offer = {
  type: 'object',
  properties: {
    id: text,
    offer_id: text,
    merchant: text,
    merchant_name: text,
    kind: text,
    title: text,
    image_link: text,
    price_minor: amount,
    sale_price_minor: amount,
    price_now_minor: amount,
    net_price_minor: amount,
    currency: { type: ['string', 'null'] },
    availability: text,
    brand: text,
    category: text,
    rate_category: text,
    cashback_eligible: { type: 'boolean' },
    coupon_code: text,
    ends_at: { type: ['string', 'null'] }
  }
}
const page = {
  type: 'object',
  properties: { items: { type: 'array', items: offer }, next_cursor: { type: ['string', 'null'] } }
}

const select = `
  SELECT o.id, o.offer_id, m.slug AS merchant, m.name AS merchant_name, o.kind, o.title, o.image_link,
    o.price_minor, o.sale_price_minor, o.sale_starts_at, o.sale_ends_at, o.currency, o.availability, o.brand,
    o.google_product_category AS category, o.rate_category, o.cashback_eligible, o.coupon_code, o.ends_at
  FROM offers o JOIN merchants m ON m.id = o.merchant_id WHERE o.status = 'active'`

fastify.get('/offers', {
  schema: {
    querystring: {
      type: 'object',
      properties: { limit: { type: 'integer', default: 20 }, before: text, merchant: text }
    },
    response: { 200: page }
  }
}, async (request) => {
  const { limit, before, merchant } = request.query
  const values = []
  let where = ''
  if (merchant) where += ` AND o.merchant_id = (SELECT id FROM merchants WHERE slug = $${values.push(merchant)})`
  if (before) where += ` AND o.id < $${values.push(before)}`
  const query = `${select}${where} ORDER BY o.id DESC LIMIT $${values.push(limit + 1)}`
  // A name makes it a prepared statement.
  const { rows } = await pool.query({ name: `newest${merchant ? ' merchant' : ''}${before ? ' before' : ''}`, text: query, values })
  const now = new Date()
  const items = rows.slice(0, limit).map((row) => {
    const onSale = row.sale_price_minor !== null && (row.sale_starts_at === null || row.sale_starts_at <= now) &&
      (row.sale_ends_at === null || now < row.sale_ends_at)
    const priceNow = onSale ? row.sale_price_minor : row.price_minor
    return { ...row, price_now_minor: priceNow, net_price_minor: priceNow }
  })
  return { items, next_cursor: rows.length > limit ? items[limit - 1].id : null }
})

fastify.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
