import { serveJobs } from '../jobs.js'
import { Field, type Order } from './field.js'
import { attackNamed } from './index.js'

/*
 * The process of attackers: it makes one attack of its parent's after the other, and ends when the parent goes away.
 */

serveJobs(async (order: Order) => {
  const field = new Field(order)
  try {
    await attackNamed(order.attack).run(field)
  } finally {
    field.close()
  }
  return field.outcome
})
