/** Composition: opens every part in order, has all of them recover after a failed write, and closes them in reverse. */
import { AccessRules } from '../access/rules.js'
import { Consumers } from '../consumers/consumers.js'
import { Checkpoints } from '../dispatch/checkpoints.js'
import { Dispatcher } from '../dispatch/dispatcher.js'
import type { Places } from '../dispatch/places.js'
import { isDaybookError } from '../errors.js'
import { backFill } from '../index/back-fill.js'
import { catchUp } from '../index/catch-up.js'
import type { Poster } from '../index/index-entries.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { Ballast } from '../log/ballast.js'
import { Log } from '../log/log.js'
import { ReadOnlyMode } from '../log/read-only-mode.js'
import { MemoryBudget } from '../memory/memory-budget.js'
import { Metrics } from '../metrics.js'
import { Expressions } from '../reading/expressions/expressions.js'
import { Reader } from '../reading/reader.js'
import { Retention } from '../reading/retention.js'
import { Sources } from '../reading/sources.js'
import { Subscriptions } from '../subscriptions/subscriptions.js'
import { Tails } from '../subscriptions/tails.js'
import { type Clock, systemClock } from '../time/clock.js'
import { ClockWatch } from '../time/clock-watch.js'
import { Accounts } from '../users/accounts.js'
import { SignIn } from '../users/sign-in.js'
import { signInFactsOf } from '../users/sign-in-facts.js'
import { Failures } from '../users/sign-in-failures.js'
import { Tickets } from '../users/tickets.js'
import { Tokens } from '../users/tokens.js'
import type { WebTokenOptions } from '../users/web-tokens.js'
import { EventSearch } from '../writing/event-search.js'
import { Writer } from '../writing/writer.js'
import { addGauges } from './gauges.js'
import { bringUpIndex, type IndexOptions, openPostings } from './open-index.js'

export interface StoreOptions extends IndexOptions {
  /** False: `--unsafe-no-fsync`. */
  fsync?: boolean
  /** Access rules that speak of `$all` also mean those who have not signed in. Default: they do not. */
  anonymous?: boolean
  /** Given to first accounts whose password everybody knows, by login. */
  firstPasswords?: Readonly<Record<string, string | undefined>>
  /** Does not open as long as an account has a password that everybody knows. */
  refuseFirstPassword?: boolean
  /** Tokens of an identity provider; undefined: none are taken. */
  webTokens?: WebTokenOptions | undefined
  /** The memory budget, bytes. */
  memoryBytes?: number
  /** Space to keep aside for a full disk, bytes. */
  ballastBytes?: number
  /** A live reader that takes nothing for so long is closed, milliseconds. */
  drainMs?: number
  clock?: Clock
}

export type StoreStatus = 'opening' | 'open' | 'failed' | 'closed'

export class Store {
  readonly options: StoreOptions
  readonly clock: Clock
  readonly metrics = new Metrics()
  readonly memory: MemoryBudget
  readonly expressions: Expressions
  // The parts: present once `open` has resolved.
  log!: Log
  postings!: Postings
  poster!: Poster
  states!: StreamStates
  rules!: AccessRules
  writer!: Writer
  sources!: Sources
  reader!: Reader
  readOnlyMode!: ReadOnlyMode
  clockWatch!: ClockWatch
  dispatcher!: Dispatcher
  places!: Places
  tails!: Tails
  subscriptions!: Subscriptions
  consumers!: Consumers
  accounts!: Accounts
  tokens!: Tokens
  tickets!: Tickets
  failures!: Failures
  signIn!: SignIn
  status: StoreStatus = 'opening'
  /** Why it is not open, for people. */
  reason = 'the log has not been opened yet'
  /** Resolves when the index families that were switched on again are filled. */
  filled: Promise<void> = Promise.resolve()
  #closing = false
  /** What the operator should know of this start, a sentence each. */
  readonly notices: string[] = []

  constructor(options: StoreOptions) {
    this.options = options
    this.clock = options.clock ?? systemClock
    this.memory = new MemoryBudget(this.clock, options.memoryBytes)
    this.expressions = new Expressions(this.memory.caches.expressionAnswers)
  }

  /**
   * Opens log, then index, then writer, then delivery; reads and appends may begin when it resolves.
   * @throws `directory-in-use`, `directory-unusable`, `format-unknown`, `log-damaged`
   */
  async open(): Promise<this> {
    try {
      await this.#openData()
    } catch (error) {
      this.#fail(error as Error)
      await this.places?.close()
      await this.postings?.close()
      await this.log?.close()
      throw error
    }
    this.#makeReadOnlyMode()
    this.#makeWriterAndReader()
    try {
      await this.#startDelivery()
      await this.#openAccounts()
    } catch (error) {
      this.status = 'open'
      await this.close()
      this.#fail(error as Error)
      throw error
    }
    this.#fill()
    this.clockWatch = new ClockWatch(this.clock, this.log)
    addGauges(this.metrics, this)
    this.status = 'open'
    this.reason = 'ready'
    return this
  }

  #fail({ message }: Error): void {
    this.status = 'failed'
    this.reason = message
  }

  /** Answers the appends that were taken, writes the index, closes the databases. */
  async close(): Promise<void> {
    if (this.status !== 'open') return
    this.status = 'closed'
    this.reason = 'the server is stopping'
    this.#closing = true
    this.subscriptions.close()
    this.consumers.close()
    this.clockWatch?.close()
    this.readOnlyMode.close()
    await Promise.all([this.failures?.close(), this.dispatcher.close(), this.writer.close()])
    // The writer takes no more turns, so no recovery can begin another fill.
    await this.filled
    await this.places.close()
    await this.postings.close()
    await this.log.close()
  }

  /** Log, places of consumers, and index, as they are on disk. */
  async #openData(): Promise<void> {
    const { directory, fsync = true, compression = false } = this.options
    const { caches } = this.memory
    this.reason = 'the end of the log is being checked'
    this.log = await Log.open({ directory, clock: this.clock, fsync, compression, caches }, (done, of) => {
      this.reason = `the end of the log is being checked: ${done} of ${of} events`
    })
    try {
      // Both may show that the log was longer: then it gets its new identity before any request sees one.
      this.places = await Checkpoints.open(directory, this.log, this.clock)
      this.postings = await openPostings(this.log, { ...this.options, caches }, this.notices)
    } finally {
      this.#noteRenewal()
    }
    await this.#bringUpIndex().catch(async (error) => {
      if (!isDaybookError(error) || error.code !== 'index-damaged') throw error
      await this.postings.close()
      this.postings = await openPostings(this.log, { ...this.options, caches, rebuildIndex: true }, this.notices)
      await this.#bringUpIndex()
    })
    this.log.announce()
  }

  async #bringUpIndex(): Promise<void> {
    const { poster, states } = await bringUpIndex(this.log, this.postings, this.memory.caches, (done, of) => {
      this.reason = `the index is catching up with the log: ${done} of ${of} events`
    })
    this.poster = poster
    this.states = states
  }

  /** Appends are refused from the first failed write until the databases have been opened anew. */
  #makeReadOnlyMode(): void {
    const ballast = new Ballast(this.options.directory, this.options.ballastBytes ?? 0)
    this.readOnlyMode = new ReadOnlyMode({
      ballast,
      clock: this.clock,
      inTurn: (work) => this.writer.inTurn(work),
      recover: () => this.#recover(),
      onEnd: () => this.#fill()
    })
    this.postings.onWriteFailed((error) => this.readOnlyMode.begin(error))
    ballast.load().then((loaded) => {
      if (!loaded) this.readOnlyMode.begin(new Error('the disk is nearly full'))
    })
  }

  #makeWriterAndReader(): void {
    const { log, postings, poster, states, clock, metrics, readOnlyMode } = this
    const retention = new Retention(states, postings, clock)
    const rules = new AccessRules(states, this.options.anonymous ?? false)
    this.rules = rules
    const search = new EventSearch({ log, postings, retention, rules })
    this.writer = new Writer({ log, postings, poster, states, rules, search, clock, metrics, readOnlyMode })
    this.sources = new Sources({ log, postings, states, retention })
    this.reader = new Reader({ log, postings, sources: this.sources, retention, turns: this.expressions.turns })
  }

  /** Live readers and named consumers: they follow the log, and no append waits for them. */
  async #startDelivery(): Promise<void> {
    const { log, reader, poster, writer, clock, metrics, places, sources } = this
    this.dispatcher = new Dispatcher(log)
    this.tails = new Tails(this.dispatcher, reader, poster, this.expressions)
    this.subscriptions = new Subscriptions({ reader, tails: this.tails, clock, metrics, drainMs: this.options.drainMs })
    this.metrics.gauge('daybook_subscriptions', 'Live readers', () => this.subscriptions.size)
    this.consumers = new Consumers({ reader, writer, places, sources, clock })
    this.notices.push(...(await this.consumers.load()))
    this.dispatcher.start()
  }

  /** Accounts, tokens, tickets and sign-in. When an account or a rule changes, live readers that lost their right are closed. */
  async #openAccounts(): Promise<void> {
    const { log, reader, postings, states, writer, clock, rules, subscriptions } = this
    const accounts = new Accounts({ log, reader, postings, states, writer, clock })
    const tokens = new Tokens({ reader, writer, accounts, clock })
    this.accounts = accounts
    rules.signIns = signInFactsOf(accounts, tokens)
    this.tokens = tokens
    await this.#loadRights()
    writer.followers.push(accounts, tokens)
    await accounts.begin(this.options.firstPasswords ?? {}, this.options.refuseFirstPassword ?? false)
    rules.onChange((stream) => subscriptions.checkRights(stream))
    accounts.onChange(() => subscriptions.checkRights())
    tokens.onChange(() => subscriptions.checkRights())
    this.tickets = new Tickets({ accounts, tokens, clock })
    this.failures = new Failures({ writer, clock, metrics: this.metrics })
    const { webTokens: options } = this.options
    // The library that checks them is only loaded where it is used.
    const webTokens = options && new (await import('../users/web-tokens.js')).WebTokens(options, clock)
    const { tickets, failures } = this
    this.signIn = new SignIn({ accounts, tokens, tickets, webTokens, failures, clock })
  }

  /** Access rules, accounts and tokens, as the log has them. */
  async #loadRights(): Promise<void> {
    await this.rules.load(this.reader)
    await this.accounts?.load()
    await this.tokens?.load()
    this.subscriptions?.checkRights()
  }

  #noteRenewal(): void {
    const { renewal } = this.log
    if (renewal === undefined) return
    const { from, to, upTo, why } = renewal
    const valid = upTo < 0 ? 'nothing of' : `only what stands up to position ${upTo} of`
    this.notices.push(`the log has a new identity, ${to}: ${why}, so ${valid} ${from} is certain to be in it`)
  }

  /** Begins when the fill before it has ended: families are filled one at a time, and not while the store is read-only. */
  #fill(): void {
    const { log, postings, poster, readOnlyMode } = this
    const isStopped = () => this.#closing || readOnlyMode.why !== undefined
    this.filled = this.filled
      .then(() => backFill(log, postings, poster, isStopped))
      .catch((error) => {
        // A family that cannot be filled because of damage stays behind: reads do without it.
        const damaged = isDaybookError(error) && error.code !== 'storage-failed'
        if (!damaged) readOnlyMode.begin(error)
      })
  }

  /**
   * After a write failed, in the writer's turn: opens the databases anew and brings the index, and all that was read from
   * it, up to what is on disk. A batch that failed may have been written after all.
   */
  async #recover(): Promise<void> {
    // A fill ends by itself: only one may extend lists, and nothing may be written while a database is opened.
    await this.filled
    await this.log.reopen()
    await this.postings.reopen()
    await catchUp(this.log, this.postings, this.poster)
    await this.states.load()
    await this.#loadRights()
    await this.consumers?.reload()
    this.log.announce()
  }
}
