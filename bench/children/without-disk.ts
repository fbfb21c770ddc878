/** Daybook with the log's synced write replaced by setImmediate: an append without the disk. */
import { serve } from '../../src/commands/serve/serve.js'
import { Level } from '../../src/log/level.js'

Level.prototype.writeSynced = () => new Promise((resolve) => setImmediate(resolve))
process.exitCode = await serve.run(process.argv.slice(2))
