/** The files of a store hold events and password hashes. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Store } from '../../src/store/store.js'

t.test('only the account that runs Daybook can enter the databases', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const store = await new Store({ directory }).open()
  t.teardown(() => store.close())
  for (const database of ['log', 'index', 'checkpoints']) {
    t.equal((statSync(join(directory, database)).mode & 0o777).toString(8), '700', database)
  }
})
