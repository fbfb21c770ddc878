/** /admin: commands for operators of the running server; /info/options: its settings (reference 14.5, 20). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { auditEvent } from '../../src/access/audit.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import type { Clock } from '../../src/time/clock.js'
import type { Writer } from '../../src/writing/writer.js'
import type { Requirement } from '../auth/authorization.js'
import { actorOf } from '../auth/caller-rights.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { codecs, makeOffer, negotiates } from '../eventstore/wire/codecs.js'
import { wantsDialectRefusal } from '../http/error-handler.js'

/** A setting of the server, with the value at its start. */
export interface ShownSetting {
  readonly name: string
  readonly description: string
  readonly value: string
  readonly possibleValues: readonly string[] | null
}

/** Controls the process that runs the application. */
export interface Control {
  /** Begins to shut down the server. */
  stop(): void
  /** Reloads the settings that can change while the server runs. */
  reload(): Promise<void>
  readonly settings: readonly ShownSetting[]
}

/** The parts of the store that the operators' routes use. Read per request: the store may still be opening. */
export interface AdminRouteParts {
  readonly clock: Clock
  readonly writer: Writer
}

/** Registers the operators' routes. @param control undefined if the application is embedded in another process */
export function adminRoutes(
  app: FastifyInstance,
  parts: AdminRouteParts,
  atom: AtomDialect,
  control: Control | undefined
): void {
  const as = (access: Requirement) => ({ config: { access, dialect: wantsDialectRefusal }, schema: { hide: true } })
  const operator = as('operator')
  const negotiated = { ...operator, config: { ...operator.config, negotiate: negotiateJson } }
  app.addHook('preHandler', (request, reply, done) => {
    atom.begin(request, reply)
    done()
  })
  app.get('/admin/login', as('signedIn'), async (request) => showLogin(parts, request))
  app.post('/admin/shutdown', operator, (request, reply) => shutDown(parts, controlled(control), request, reply))
  app.post('/admin/reloadconfig', operator, (request, reply) => reload(parts, controlled(control), request, reply))
  app.get('/info/options', negotiated, async (request) => showOptions(control, request))
}

function showLogin({ clock }: AdminRouteParts, { principal: { login, groups } }: FastifyRequest): object {
  return {
    data: { loginName: login, fullName: login, groups, dateLastUpdated: new Date(clock.now()).toISOString() },
    success: true,
    msgTypeId: 262,
    label: 'Other'
  }
}

async function shutDown(
  parts: AdminRouteParts,
  { stop }: Control,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  await recordCommand(parts, request, 'shutdown')
  reply.raw.once('close', stop)
  return reply.send('')
}

async function reload(
  parts: AdminRouteParts,
  control: Control,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const { reload } = control
  await recordCommand(parts, request, 'reloadconfig')
  await reload()
  return reply.send('')
}

function showOptions(control: Control | undefined, request: FastifyRequest): object[] {
  negotiateJson(request)
  return controlled(control).settings.map((setting) => ({ ...setting, group: 'serve' }))
}

/** Records an operator's command in the audit log before it runs. If the disk cannot be written, it runs unrecorded. */
async function recordCommand({ writer }: AdminRouteParts, request: FastifyRequest, command: string): Promise<void> {
  const actor = actorOf(request)
  if (actor.principal.by === 'insecure') return
  const events = [auditEvent('CommandGiven', actor, { command })]
  try {
    await writer.append({ events, conditions: [], kind: 'append', askedBy: actor.principal })
  } catch (error) {
    const full = isDaybookError(error) && (error.code === 'read-only' || error.code === 'storage-failed')
    if (!full) throw error
    request.log.error(
      { err: error, command, who: actor.principal.login },
      'A command could not be recorded in the audit log.'
    )
  }
}

const negotiateJson = negotiates(makeOffer([codecs.json]))

/** @throws `not-implemented` if the application does not run in a process of its own */
function controlled(control: Control | undefined): Control {
  if (control !== undefined) return control
  throw new DaybookError(
    'not-implemented',
    'This server is embedded in another process, which does not support this command.'
  )
}
