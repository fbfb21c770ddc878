/** Freed memory goes back to the system, even after blocks of that size were freed before. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { compiledScript, root } from '../helpers/project.js'

const isInstalled = existsSync(join(root, 'node_modules', 'koffi'))
const skip =
  process.platform !== 'linux' ? 'needs Linux' : !isInstalled && process.env.CI === undefined && 'needs koffi'

/**
 * Allocates 64 buffers of 4 MiB three times, with small buffers between them that stay, and prints by how many bytes
 * the process has grown. Shared memory, such as files, is left out.
 */
const script = `
  import { readFileSync } from 'node:fs'
  import { giveBackFreedMemory } from ${JSON.stringify(compiledScript('src/memory/allocator.ts'))}
  const own = () => Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
  if (!(await giveBackFreedMemory())) throw new Error('the allocator did not accept the settings')
  const small = []
  const before = own()
  for (let round = 0; round < 3; round++) {
    let large = []
    for (let i = 0; i < 64; i++) {
      large.push(Buffer.alloc(4 * 1024 * 1024, 1))
      small.push(Buffer.allocUnsafeSlow(8 * 1024).fill(1))
    }
    large = []
    gc()
    await new Promise((resolve) => setTimeout(resolve, 50))
    gc()
  }
  console.log(own() - before)
`

t.test('freed large buffers cost no memory', { skip }, async (t) => {
  const argv = ['--expose-gc', '--input-type=module', '-e', script]
  const { stdout, stderr } = spawnSync(process.execPath, argv, { cwd: root, encoding: 'utf8' })
  t.ok(Number(stdout) < 32 * 1024 * 1024 && stdout !== '', `of 256 MiB, ${stdout.trim()} bytes remain ${stderr}`)
})
