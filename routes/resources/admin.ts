/** /admin: what operators tell the running server, and /info/options: how it was started (reference 14.5, 20). */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { auditEvent } from '../../src/access/audit.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import type { Store } from '../../src/store/store.js'
import type { Requirement } from '../auth/authorization.js'
import { actorOf } from '../auth/rechecks.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { codecs, negotiates } from '../eventstore/wire/codecs.js'
import { wantsBare } from '../http/error-handler.js'

/** A setting, as the server was started with it. */
export interface ShownSetting {
  readonly name: string
  readonly description: string
  readonly value: string
  readonly possibleValues: readonly string[] | null
}

/** The process around the application. */
export interface Control {
  /** Begins to stop. */
  stop(): void
  /** Reads again what can change while it runs. */
  reload(): Promise<void>
  readonly settings: readonly ShownSetting[]
}

export function adminRoutes(app: FastifyInstance, store: Store, atom: AtomDialect, control: Control | undefined): void {
  const as = (access: Requirement) => ({ config: { access, dialect: wantsBare }, schema: { hide: true } })
  app.addHook('preHandler', (request, reply, done) => {
    atom.begin(request, reply)
    done()
  })

  app.get('/admin/login', as('signedIn'), async ({ principal: { login, groups } }) => ({
    data: { loginName: login, fullName: login, groups, dateLastUpdated: new Date(store.clock.now()).toISOString() },
    success: true,
    msgTypeId: 262,
    label: 'Other'
  }))

  app.post('/admin/shutdown', as('operator'), async (request, reply) => {
    const { stop } = controlled(control)
    await tell(request, 'shutdown')
    reply.raw.once('close', stop)
    return reply.send('')
  })

  app.post('/admin/reloadconfig', as('operator'), async (request, reply) => {
    const { reload } = controlled(control)
    await tell(request, 'reloadconfig')
    await reload()
    return reply.send('')
  })

  const negotiated = as('operator')
  app.get(
    '/info/options',
    { ...negotiated, config: { ...negotiated.config, negotiate: negotiateJson } },
    async (request) => {
      negotiateJson(request)
      return controlled(control).settings.map((setting) => ({ ...setting, group: 'serve' }))
    }
  )

  /** What an operator does to the server is written down before it is done; on a full disk it is done all the same. */
  async function tell(request: FastifyRequest, command: string): Promise<void> {
    const actor = actorOf(request)
    if (actor.principal.by === 'insecure') return
    const events = [auditEvent('CommandGiven', actor, { command })]
    try {
      await store.writer.append({ events, conditions: [], mode: 'batch', askedBy: actor.principal })
    } catch (error) {
      const full = isDaybookError(error) && (error.code === 'read-only' || error.code === 'storage-failed')
      if (!full) throw error
      request.log.error({ err: error, command, who: actor.principal.login }, 'a command could not be written down')
    }
  }
}

const negotiateJson = negotiates([codecs.json])

/** @throws `not-implemented` in an application that is no process of its own */
function controlled(control: Control | undefined): Control {
  if (control !== undefined) return control
  throw new DaybookError('not-implemented', 'Nobody controls this process.')
}
