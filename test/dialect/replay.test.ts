/**
 * A client written for EventStoreDB's HTTP API is answered as the original answered: each scenario is run, and every
 * exchange compared with the recording of a running EventStoreDB 23.10.7.
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

/** Where the original itself gave up, any answer that does not will do. */
const gaveUp = (status: number) => status === 0 || status === 408 || status >= 500

for (const name of names) {
  t.test(`${name}: every exchange is as the original's`, async (t) => {
    const scenario = (await import(join(here, 'scenarios', `${name}.mjs`))) as Scenario
    // Recorded with authentication on; the others without.
    const { url } = await listen(t, { trustProxy: true, insecure: scenario.needs !== 'secure' })
    const got = await runScenario(scenario, url)
    const open = [...got]
    for (const { say, request, response } of recorded(name, new URL(url).port)) {
      const index = open.findIndex((exchange) => exchange.say === say)
      const difference = differenceOf(name, say)
      if (index < 0) {
        if (!/read back$/.test(say) || difference === undefined) t.fail(`${say}: was not reached`)
        continue
      }
      const [answer] = open.splice(index, 1) as [Exchange]
      const { status } = answer.response
      const what = `${say} (${request.method} ${request.path})`
      if (difference !== undefined)
        t.ok(difference.status.includes(status), `${what}: ${difference.why}; got ${status}`)
      else if (gaveUp(response.status)) t.notOk(gaveUp(status), `${what}: answered ${status}`)
      else t.same(differences(response, answer.response, request.path), [], what)
    }
  })
}

t.ok(names.length > 20, 'the scenarios were found')

/** @param port of our server: the recorded one stands in addresses whose host was forwarded without a port */
function recorded(name: string, port: string): Exchange[] {
  const text = readFileSync(join(here, 'transcripts', `${name}.json`), 'utf8')
  // Logins have the mark of the recording's run in their names.
  const settled = text.replaceAll('mwt08mv0', '').replaceAll('store.example:2413', `store.example:${port}`)
  return JSON.parse(settled).exchanges
}
