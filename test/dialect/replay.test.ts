/**
 * Clients of EventStoreDB's HTTP API get the same responses as from EventStoreDB. Runs each scenario and compares every
 * exchange with the recording of a running EventStoreDB 23.10.7.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { listen } from '../helpers/app.js'
import { projectFile } from '../helpers/project.js'
import { differences } from './comparison.js'
import { differenceOf } from './differences.js'
import { type Exchange, runScenario, type Scenario } from './recorder.js'

const here = projectFile('test/dialect')
const names = readdirSync(join(here, 'scenarios')).map((file) => file.replace(/\.mjs$/, ''))

/** True for a time-out or a server error. Where the original has one, all other responses are accepted. */
const failed = (status: number) => status === 0 || status === 408 || status >= 500

for (const name of names) {
  t.test(`${name}: every exchange has the same response as in EventStoreDB`, async (t) => {
    const scenario = (await import(join(here, 'scenarios', `${name}.mjs`))) as Scenario
    // Secure scenarios were recorded with authentication, the others without.
    const { url } = await listen(t, { trustProxy: true, insecure: scenario.needs !== 'secure' })
    const got = await runScenario(scenario, url)
    const open = [...got]
    const exchanges = recorded(name, new URL(url).port)
    t.ok(exchanges.length > 0, 'exchanges were recorded')
    for (const { say, request, response } of exchanges) {
      const index = open.findIndex((exchange) => exchange.say === say)
      const difference = differenceOf(name, say)
      if (index < 0) {
        if (!/read back$/.test(say) || difference === undefined)
          t.fail(`${say}: the scenario did not make this request`)
        continue
      }
      const [answer] = open.splice(index, 1) as [Exchange]
      const { status } = answer.response
      const what = `${say} (${request.method} ${request.path})`
      if (difference !== undefined)
        t.ok(difference.status.includes(status), `${what}: ${difference.why}; got ${status}`)
      else if (failed(response.status)) t.notOk(failed(status), `${what}: does not fail; got ${status}`)
      else t.same(differences(response, answer.response, request.path), [], what)
    }
  })
}

t.ok(names.length > 20, 'the scenarios are found')

/** Returns the recorded exchanges. @param port replaces the recorded one in addresses with a forwarded host */
function recorded(name: string, port: string): Exchange[] {
  const text = readFileSync(join(here, 'transcripts', `${name}.json`), 'utf8')
  // Login names contain a tag of the recording.
  const settled = text.replaceAll('mwt08mv0', '').replaceAll('store.example:2413', `store.example:${port}`)
  return JSON.parse(settled).exchanges
}
