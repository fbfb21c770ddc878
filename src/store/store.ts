/** Composition: opens every part in order, has all of them recover after a failed write, and closes them in reverse. */
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
  // The parts: present once `open` has resolved.
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
  /** Why it is not open, for people. */
  reason = 'the log has not been opened yet'
  /** Resolves when the index families that were switched on again are filled. */
  filled: Promise<void> = Promise.resolve()
  /** What the operator should know of this start, a sentence each. */
  readonly notices: string[] = []
  readonly #ballast: Ballast
  /** Aborted when the store closes: an opening or a recovery that is under way ends between two batches. */
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
   * Opens log, then index, then writer, then delivery; reads and appends may begin when it resolves. A store that could
   * not be opened holds nothing open, and is of no more use.
   * @throws `directory-in-use`, `directory-unusable`, `format-unknown`, `log-damaged`, `storage-failed`; `stopping` when it
   * is closed meanwhile
   */
  open(): Promise<this> {
    this.#opening ??= this.#open()
    return this.#opening
  }

  async #open(): Promise<this> {
    try {
      const full = await this.#openData()
      this.#makeReadOnlyMode(full)
      this.#makeWriterAndReader()
      try {
        await this.#startDelivery()
        await this.#openAccounts()
        await this.tables.noteOpen()
        // Nothing is waited for from here on: a close would come between.
        this.#closing.signal.throwIfAborted()
      } catch (error) {
        await this.#closeParts()
        throw error
      }
    } catch (error) {
      // One that is closed stays so.
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
   * Answers the appends that were taken, writes the index, closes the databases. An opening that is under way is abandoned;
   * the next start goes on from what it has written. May be called again.
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

  /** Closes what `open` has made, in reverse. */
  async #closeParts(): Promise<void> {
    this.#closing.abort()
    this.subscriptions.close()
    this.consumers.close()
    this.clockWatch?.close()
    const ended = [this.tableWatch?.close(), this.readOnlyMode.close(), this.failures?.close()]
    // The writer at once: from here on it takes nothing more.
    await Promise.all([...ended, this.dispatcher.close(), this.writer.close()])
    // The writer takes no more turns, so no recovery can begin another fill.
    await this.filled
    await this.places.close()
    await this.postings.close()
    await this.log.close()
    await this.tables.close()
  }

  /**
   * Log, places of consumers, and index, as they are on disk. LevelDB needs space to open; on a full disk the ballast is
   * given back for that.
   * @returns why nothing can be written now: the disk is full
   */
  async #openData(): Promise<Error | undefined> {
    const { signal } = this.#closing
    const onProgress: OpeningProgress = (what, done, of, unit = 'events') => {
      this.reason = `${what}: ${done} of ${of} ${unit}`
      this.options.onProgress?.(what, done, of, unit)
    }
    const opening = { clock: this.clock, caches: this.memory.caches, signal, notices: this.notices, onProgress }
    this.reason = 'the end of the log is being checked'
    let full: Error | undefined
    const { indexNotWritten, ...data } = await openData(this.options, opening).catch((error) => {
      if (!isDiskFull(error) || !this.#ballast.drop()) throw error
      full = error
      this.notices.push('the disk is full; the ballast was given back, and nothing is written until there is space')
      return openData(this.options, opening)
    })
    Object.assign(this, data)
    return full ?? indexNotWritten ?? this.log.witnessFailure
  }

  /**
   * Appends are refused from the first failed write until the databases have been opened anew.
   * @param full why nothing can be written from the start
   */
  #makeReadOnlyMode(full: Error | undefined): void {
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

  #makeWriterAndReader(): void {
    const { log, postings, poster, states, clock, metrics, readOnlyMode, memory } = this
    const retention = new Retention(states, postings, clock)
    const rules = new AccessRules(states, this.options.anonymous ?? false)
    this.rules = rules
    const search = new EventSearch({ log, postings, retention, rules, memory: this.memory })
    this.writer = new Writer({ log, postings, poster, states, rules, search, clock, metrics, readOnlyMode, memory })
    this.sources = new Sources({ log, postings, states, retention })
    this.reader = new Reader({ log, postings, sources: this.sources, retention, turns: this.expressions.turns })
  }

  /** Live readers and named consumers: they follow the log, and no append waits for them. */
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

  /** Begins when the fill before it has ended: families are filled one at a time, and not while the store is read-only. */
  #fill(): void {
    const { log, postings, poster, readOnlyMode } = this
    const isStopped = () => this.#closing.signal.aborted || readOnlyMode.why !== undefined
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
    const goOn = () => this.#closing.signal.throwIfAborted()
    await this.log.reopen()
    await this.postings.reopen()
    await catchUp(this.log, this.postings, this.poster, goOn)
    goOn()
    await this.states.load()
    await this.#loadRights()
    await this.consumers?.reload()
    this.log.announce()
  }
}
