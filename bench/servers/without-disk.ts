/** Daybook with the log's synced write replaced by setImmediate: everything of an append but the disk. */
const level = await import('../../dist/src/log/level.js' as string)
level.Level.prototype.writeSynced = () => new Promise((resolve) => setImmediate(resolve))
const { serve } = await import('../../dist/src/commands/serve.js' as string)
process.exitCode = await serve.run(['--log-level', 'silent', ...process.argv.slice(2)])
