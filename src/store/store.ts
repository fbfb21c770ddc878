/** Composition: opens all parts in order, lets them recover after a failed write, and closes them in reverse order. */
import { AccessRules } from '../access/rules.js'
import { Consumers } from '../consumers/consumers.js'
import { Dispatcher } from '../dispatch/dispatcher.js'
import type { Places } from '../dispatch/places.js'
import { DaybookError, isDaybookError } from '../errors.js'
import { backFill } from '../index/back-fill.js'
import { catchUp } from '../index/catch-up.js'
import type { Poster } from '../index/index-entries.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { Ballast } from '../log/ballast.js'
import type { Log } from '../log/log.js'
import { ReadOnlyMode } from '../log/read-only-mode.js'
import { isDiskFull } from '../log/storage-faults.js'
import type { TableGuard } from '../log/tables/table-guard.js'
import { TableWatch } from '../log/tables/table-watch.js'
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
import { EventSearch } from '../writing/event-search.js'
import { Writer } from '../writing/writer.js'
import { addGauges } from './gauges.js'
import { openData } from './open-data.js'
import type { OpeningProgress, StoreOptions } from './store-options.js'

export type { StoreOptions } from './store-options.js'

export type StoreStatus = 'opening' | 'open' | 'failed' | 'closed'

export class Store {
  readonly options: StoreOptions
  readonly clock: Clock
  readonly metrics = new Metrics()
  readonly memory: MemoryBudget
  readonly expressions: Expressions
  // The parts. They are set when `open` has resolved.
  tables!: TableGuard
  tableWatch!: TableWatch
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
  /** Why the store is not open, in words. */
  reason = 'the log has not been opened yet'
  /** Resolves when index families that were switched on again are filled. */
  filled: Promise<void> = Promise.resolve()
  /** Facts about this start for the operator, a sentence each. */
  readonly notices: string[] = []
  readonly #ballast: Ballast
  /** Aborted when the store closes. An opening or a recovery in progress then ends between two batches. */
  readonly #closing = new AbortController()
  #opening: Promise<this> | undefined
  #closed: Promise<void> | undefined

  constructor(options: StoreOptions) {
    this.options = options
    this.clock = options.clock ?? systemClock
    this.memory = new MemoryBudget(this.clock, options.memoryBytes)
    this.#ballast = new Ballast(options.directory, options.ballastBytes ?? 0)
    this.expressions = new Expressions(this.memory.caches.expressionAnswers)
  }

  /**
   * Opens the log, then the index, the writer and delivery. Reads and appends are possible when it resolves. If it
   * rejects, nothing stays open and the store cannot be used again.
   * @throws `directory-in-use`, `directory-unusable`, `format-unknown`, `log-damaged`, `storage-failed`; `stopping`
   * when the store is closed meanwhile
   */
  open(): Promise<this> {
    this.#opening ??= this.#open()
    return this.#opening
  }

  async #open(): Promise<this> {
    try {
      const full = await this.#openData()
      this.#createReadOnlyMode(full)
      this.#createWriterAndReader()
      try {
        await this.#startDelivery()
        await this.#openAccounts()
        await this.tables.noteOpen()
        // No await from here on. Otherwise a close could come in between.
        this.#closing.signal.throwIfAborted()
      } catch (error) {
        await this.#closeParts()
        throw error
      }
    } catch (error) {
      // A closed store keeps its status.
      if (this.status === 'opening') this.status = 'failed'
      if (this.status === 'failed') this.reason = (error as Error).message
      throw error
    }
    this.#fill()
    this.clockWatch = new ClockWatch(this.clock, this.log)
    const { tables: guard, log, writer, readOnlyMode } = this
    this.tableWatch = new TableWatch({ guard, log, writer, readOnlyMode })
    addGauges(this.metrics, this)
    this.status = 'open'
    this.reason = 'ready'
    return this
  }

  /**
   * Completes accepted appends, writes the index, and closes the databases. Aborts an opening in progress; the next
   * start continues from what it has written. Repeated calls return the same promise.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { status } = this
    if (status === 'failed') return
    this.status = 'closed'
    this.reason = 'the server is stopping'
    this.#closing.abort(new DaybookError('stopping', 'The server is stopping.', { retry: true }))
    if (status === 'open') await this.#closeParts()
    else await this.#opening?.catch(() => {})
  }

  /** Closes the parts in reverse order of `open`. */
  async #closeParts(): Promise<void> {
    this.#closing.abort()
    this.subscriptions.close()
    this.consumers.close()
    this.clockWatch?.close()
    const ended = [this.tableWatch?.close(), this.readOnlyMode.close(), this.failures?.close()]
    // Close the writer at the same time: it accepts nothing from here on.
    await Promise.all([...ended, this.dispatcher.close(), this.writer.close()])
    // The writer runs no more turns, so no recovery can start another fill.
    await this.filled
    await this.places.close()
    await this.postings.close()
    await this.log.close()
    await this.tables.close()
  }

  /**
   * Opens the log, the consumers' positions and the index. LevelDB needs disk space to open. On a full disk the ballast
   * is released to provide it.
   * @returns why the store must start read-only, which is a full disk; undefined otherwise
   */
  async #openData(): Promise<Error | undefined> {
    const { signal } = this.#closing
    const onProgress: OpeningProgress = (step, done, of, unit = 'events') => {
      this.reason = `${step}: ${done} of ${of} ${unit}`
      this.options.onProgress?.(step, done, of, unit)
    }
    const opening = { clock: this.clock, caches: this.memory.caches, signal, notices: this.notices, onProgress }
    this.reason = 'the end of the log is being checked'
    let full: Error | undefined
    const { indexNotWritten, ...data } = await openData(this.options, opening).catch((error) => {
      if (!isDiskFull(error) || !this.#ballast.drop()) throw error
      full = error
      this.notices.push('the disk is full; the ballast was released, and the store is read-only until there is space')
      return openData(this.options, opening)
    })
    Object.assign(this, data)
    return full ?? indexNotWritten ?? this.log.witnessFailure
  }

  /**
   * Creates the read-only mode: from the first failed write, appends are rejected until the databases are reopened.
   * @param full why the store must start read-only
   */
  #createReadOnlyMode(full: Error | undefined): void {
    this.readOnlyMode = new ReadOnlyMode({
      ballast: this.#ballast,
      clock: this.clock,
      inTurn: (work) => this.writer.inTurn(work),
      recover: () => this.#recover(),
      onEnd: () => this.#fill()
    })
    this.postings.onWriteFailed((error) => this.readOnlyMode.begin(error))
    if (full === undefined) this.readOnlyMode.loadBallast()
    else this.readOnlyMode.begin(full)
  }

  #createWriterAndReader(): void {
    const { log, postings, poster, states, clock, metrics, readOnlyMode, memory } = this
    const retention = new Retention(states, postings, clock)
    const rules = new AccessRules(states, this.options.anonymous ?? false)
    this.rules = rules
    const search = new EventSearch({ log, postings, retention, rules, memory: this.memory })
    this.writer = new Writer({ log, postings, poster, states, rules, search, clock, metrics, readOnlyMode, memory })
    this.sources = new Sources({ log, postings, states, retention })
    this.reader = new Reader({ log, postings, sources: this.sources, retention, turns: this.expressions.turns })
  }

  /** Starts live readers and consumers. They follow the log; appends do not wait for them. */
  async #startDelivery(): Promise<void> {
    const { log, reader, poster, writer, clock, metrics, places, sources } = this
    this.dispatcher = new Dispatcher(log)
    this.tails = new Tails(this.dispatcher, reader, poster, this.expressions)
    const { tails, memory } = this
    this.subscriptions = new Subscriptions({ reader, tails, memory, clock, metrics, drainMs: this.options.drainMs })
    this.metrics.gauge('daybook_subscriptions', 'Live readers', () => this.subscriptions.size)
    this.consumers = new Consumers({ reader, writer, places, sources, clock })
    this.notices.push(...(await this.consumers.load()))
    this.dispatcher.start()
  }

  /** Opens accounts, tokens, tickets and sign-in. Later changes close live readers that lose their right. */
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
    // Load the library for web tokens only if they are used.
    const webTokens = options && new (await import('../users/web-tokens.js')).WebTokens(options, clock)
    const { tickets, failures } = this
    this.signIn = new SignIn({ accounts, tokens, tickets, webTokens, failures, clock })
  }

  /** Loads access rules, accounts and tokens from the log. */
  async #loadRights(): Promise<void> {
    await this.rules.load(this.reader)
    await this.accounts?.load()
    await this.tokens?.load()
    this.subscriptions?.checkRights()
  }

  /** Fills index families in the background, one at a time and never while the store is read-only. */
  #fill(): void {
    const { log, postings, poster, readOnlyMode } = this
    const isStopped = () => this.#closing.signal.aborted || readOnlyMode.why !== undefined
    this.filled = this.filled
      .then(() => backFill(log, postings, poster, isStopped))
      .catch((error) => {
        // A family that cannot be filled because of damage stays incomplete, and reads do not use it.
        const damaged = isDaybookError(error) && error.code !== 'storage-failed'
        if (!damaged) readOnlyMode.begin(error)
      })
  }

  /**
   * Recovers after a failed write, in the writer's turn: reopens the databases and brings the index and all in-memory
   * state up to what is on disk. The failed batch may be on disk after all.
   */
  async #recover(): Promise<void> {
    // The fill ends by itself. Only one may extend lists, and nothing may be written while a database is reopened.
    await this.filled
    const checkNotClosing = () => this.#closing.signal.throwIfAborted()
    await this.log.reopen()
    await this.postings.reopen()
    await catchUp(this.log, this.postings, this.poster, checkNotClosing)
    checkNotClosing()
    await this.states.load()
    await this.#loadRights()
    await this.consumers?.reload()
    this.log.publishHead()
  }
}
