/** Composition: opens every part in order and closes them in reverse. No logic of its own. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { AccessRules } from '../access/rules.js'
import { Consumers } from '../consumers/consumers.js'
import { Checkpoints } from '../dispatch/checkpoints.js'
import { Dispatcher } from '../dispatch/dispatcher.js'
import type { Places } from '../dispatch/places.js'
import { isDaybookError } from '../errors.js'
import { backFill, catchUp, kindsOf, Poster } from '../index/index-entries.js'
import { type ListName, Postings } from '../index/posting-lists.js'
import { StreamStates } from '../index/stream-states.js'
import { Ballast } from '../log/ballast.js'
import { family } from '../log/format.js'
import { Log } from '../log/log.js'
import { Standstill } from '../log/read-only-mode.js'
import { Metrics } from '../metrics.js'
import { Reader } from '../reading/reader.js'
import { Visibility } from '../reading/retention.js'
import { Sources } from '../reading/sources.js'
import { type CategoryRule, defaultCategoryRule, parseCategoryRule } from '../streams/names.js'
import { Subscriptions } from '../subscriptions/subscriptions.js'
import { Tails } from '../subscriptions/tails.js'
import { type Clock, systemClock } from '../time/clock.js'
import { ClockWatch } from '../time/clock-watch.js'
import { USER_STREAMS } from '../users/account.js'
import { Accounts } from '../users/accounts.js'
import { SignIn } from '../users/sign-in.js'
import { signInFactsOf } from '../users/sign-in-facts.js'
import { Failures } from '../users/sign-in-failures.js'
import { Tickets } from '../users/tickets.js'
import { Tokens } from '../users/tokens.js'
import type { WebTokenOptions } from '../users/web-tokens.js'
import { EventSearch } from '../writing/event-search.js'
import { Writer } from '../writing/writer.js'

export interface StoreOptions {
  directory: string
  /** False: `--unsafe-no-fsync`. */
  fsync?: boolean
  compression?: boolean
  /** `none` keeps no index streams. Undefined: those that the directory has, or all in a new one. */
  runProjections?: 'none' | 'system' | 'all'
  /** Access rules that speak of `$all` also mean those who have not signed in. Default: they do not. */
  anonymous?: boolean
  /** Given to first accounts whose password everybody knows, by login. */
  firstPasswords?: Readonly<Record<string, string | undefined>>
  /** Does not open as long as an account has a password that everybody knows. */
  refuseFirstPassword?: boolean
  /** Tokens of an identity provider; undefined: none are taken. */
  webTokens?: WebTokenOptions | undefined
  /** Undefined: as the directory has it, or the default in a new one. */
  categoryRule?: CategoryRule
  /** Makes the index anew from the log. */
  rebuildIndex?: boolean
  /** Space to keep aside for a full disk, bytes. */
  ballastBytes?: number
  /** A live reader that takes nothing for so long is closed, milliseconds. */
  drainMs?: number
  clock?: Clock
}

/** Lists that decide who may do what: none of them may be hidden. */
const COUNTED: readonly ListName[] = [
  [family.stream, '$$'],
  [family.stream, USER_STREAMS],
  [family.tombstone, '']
]

export type StoreStatus = 'opening' | 'open' | 'failed' | 'closed'

export class Store {
  readonly options: StoreOptions
  readonly clock: Clock
  readonly metrics = new Metrics()
  /** Present once `open` has resolved. */
  log!: Log
  postings!: Postings
  poster!: Poster
  states!: StreamStates
  rules!: AccessRules
  writer!: Writer
  sources!: Sources
  reader!: Reader
  standstill!: Standstill
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
  /** Index families that were switched on again are being filled; resolves when they are. */
  filled: Promise<void> = Promise.resolve()
  #closing = false
  /** What the operator should know of this start, a sentence each. */
  readonly notices: string[] = []

  constructor(options: StoreOptions) {
    this.options = options
    this.clock = options.clock ?? systemClock
  }

  /**
   * Opens log, then index, then writer, then delivery; reads and appends may begin when it resolves.
   * @throws `directory-in-use`, `directory-unusable`, `format-unknown`, `log-damaged`
   */
  async open(): Promise<this> {
    const { directory, fsync = true, compression = false } = this.options
    try {
      this.reason = 'the end of the log is being checked'
      this.log = await Log.open({ directory, clock: this.clock, fsync, compression }, (done, of) => {
        this.reason = `the end of the log is being checked: ${done} of ${of} events`
      })
      try {
        // Both may show that the log was longer: then it gets its new identity before any request sees one.
        this.places = await Checkpoints.open(directory, this.log, this.clock)
        this.postings = await this.#openIndex(directory, compression)
      } finally {
        this.#noteRenewal()
      }
      await this.#bringUpIndex().catch(async (error) => {
        if (!isDaybookError(error) || error.code !== 'index-damaged') throw error
        await this.postings.close()
        this.postings = await this.#openIndex(directory, compression, true)
        await this.#bringUpIndex()
      })
      this.log.announce()
    } catch (error) {
      this.status = 'failed'
      this.reason = (error as Error).message
      await this.places?.close()
      await this.postings?.close()
      await this.log?.close()
      throw error
    }
    const ballast = new Ballast(directory, this.options.ballastBytes ?? 0)
    this.standstill = new Standstill({
      ballast,
      clock: this.clock,
      inTurn: (work) => this.writer.inTurn(work),
      recover: () => this.#recover(),
      onEnd: () => this.#fill()
    })
    this.postings.onWriteFailed = (error) => this.standstill.begin(error)
    ballast.load().then((loaded) => {
      if (!loaded) this.standstill.begin(new Error('the disk is nearly full'))
    })
    const visibility = new Visibility(this.states, this.postings, this.clock)
    const { log, postings, poster, states, clock, metrics, standstill } = this
    const rules = new AccessRules(states, this.options.anonymous ?? false)
    this.rules = rules
    const search = new EventSearch({ log, postings, visibility, rules })
    this.writer = new Writer({ log, postings, poster, states, rules, search, clock, metrics, standstill })
    this.sources = new Sources({ log, postings, states, visibility })
    this.reader = new Reader({ log, postings, sources: this.sources, visibility })
    try {
      await this.#deliver()
      await this.#admit()
    } catch (error) {
      this.status = 'open'
      await this.close()
      this.status = 'failed'
      this.reason = (error as Error).message
      throw error
    }
    this.#fill()
    this.metrics.gauge('daybook_append_queue', 'Appends waiting for the next commit', () => this.writer.queued)
    this.metrics.gauge('daybook_read_only', '1 while nothing can be written', () => (this.standstill.why ? 1 : 0))
    this.metrics.gauge('daybook_log_head', 'Position of the last event, -1 when there is none', () => this.log.head)
    this.#watchClock()
    this.status = 'open'
    this.reason = 'ready'
    return this
  }

  /** Answers what was taken, writes the index, closes the databases. */
  async close(): Promise<void> {
    if (this.status !== 'open') return
    this.status = 'closed'
    this.reason = 'the server is stopping'
    this.#closing = true
    this.subscriptions.close()
    this.consumers.close()
    this.clockWatch?.close()
    this.standstill.close()
    await Promise.all([this.failures?.close(), this.dispatcher.close(), this.writer.close()])
    // No turn is left in which a recovery could begin another fill.
    await this.filled
    await this.places.close()
    await this.postings.close()
    await this.log.close()
  }

  #watchClock(): void {
    this.clockWatch = new ClockWatch(this.clock, this.log)
    const behind = 'How far the clock is behind the last event, 0 when it is not'
    this.metrics.gauge('daybook_clock_behind_seconds', behind, () => this.clockWatch.behindMs / 1000)
    const jump = "The last jump of the machine's clock, negative when it went back, 0 when there was none"
    this.metrics.gauge('daybook_clock_jump_seconds', jump, () => this.clockWatch.jumpMs / 1000)
  }

  /** Live readers, and consumers with a name: they follow the log, and nothing waits for them. */
  async #deliver(): Promise<void> {
    const { log, reader, poster, writer, clock, metrics, places, sources } = this
    this.dispatcher = new Dispatcher(log)
    this.tails = new Tails(this.dispatcher, reader, poster)
    this.subscriptions = new Subscriptions({
      reader,
      tails: this.tails,
      clock,
      metrics,
      drainMs: this.options.drainMs
    })
    this.metrics.gauge('daybook_subscriptions', 'Live readers', () => this.subscriptions.size)
    this.consumers = new Consumers({ reader, writer, places, sources, clock })
    this.notices.push(...(await this.consumers.load()))
    this.dispatcher.start()
  }

  /** Accounts and what stands for them; whoever loses a right loses what rests on it. */
  async #admit(): Promise<void> {
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

  /** Who may do what, as the log says. */
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
    const { log, postings, poster, standstill } = this
    const isStopped = () => this.#closing || standstill.why !== undefined
    this.filled = this.filled
      .then(() => backFill(log, postings, poster, isStopped))
      .catch((error) => {
        // A family that cannot be filled because of damage stays behind: reads do without it.
        const damaged = isDaybookError(error) && error.code !== 'storage-failed'
        if (!damaged) standstill.begin(error)
      })
  }

  /**
   * After a write failed, in the writer's turn: opens the databases anew and brings the index, and all that was read from
   * it, up to what is on disk. A batch that failed may have been written after all.
   */
  async #recover(): Promise<void> {
    await this.filled // ends by itself: only one may extend lists, and nothing may be written while a database is opened
    await this.log.reopen()
    await this.postings.reopen()
    await catchUp(this.log, this.postings, this.poster)
    await this.states.load()
    await this.#loadRights()
    await this.consumers?.reload()
    this.log.announce()
  }

  /** @throws `index-damaged` when that is found out */
  async #bringUpIndex(): Promise<void> {
    const rule = this.postings.ruleOf(family.category)
    this.poster = new Poster(this.log, rule ? parseCategoryRule(rule) : defaultCategoryRule)
    await catchUp(this.log, this.postings, this.poster, (done, of) => {
      this.reason = `the index is catching up with the log: ${done} of ${of} events`
    })
    this.states = new StreamStates(this.log, this.postings)
    await this.states.load()
    await this.#lookAtOwnStreams()
  }

  /** What is read of them later must be there: then the index can no longer be made anew. @throws `index-damaged` */
  async #lookAtOwnStreams(): Promise<void> {
    const names = ['$settings', '$consumers', '$tokens']
    for await (const { name } of this.postings.all(family.stream, USER_STREAMS)) names.push(name)
    for (const name of names) {
      const head = await this.postings.head(family.stream, name)
      if (head !== undefined) await this.postings.positions(family.stream, head, 0, head.count)
    }
  }

  /**
   * The index of this log, made anew when what is there cannot serve or is ahead of the log.
   * @param anew whatever is there
   */
  async #openIndex(
    directory: string,
    compression: boolean,
    anew = this.options.rebuildIndex ?? false
  ): Promise<Postings> {
    const { categoryRule, runProjections } = this.options
    const rule = categoryRule && `${categoryRule.at}:${categoryRule.separator}`
    const rules = rule === undefined ? undefined : { [family.category]: rule, [family.categoryStreams]: rule }
    const options = { directory, compression, rules, counted: COUNTED }
    const kept = runProjections && kindsOf[runProjections]
    const found = anew ? undefined : await Postings.open(options, kept, this.log)
    if (found !== undefined) return found
    if (this.log.head >= 0) this.notices.push('the index could not serve as it was, and is made anew from the log')
    const before = await Postings.settingsOf(options)
    rmSync(join(directory, 'index'), { recursive: true, force: true })
    const again = { ...options, rules: { ...before?.rules, ...rules } }
    const made = await Postings.open(again, kept ?? before?.kept, this.log)
    if (made === undefined) throw new Error('a new index cannot serve')
    return made
  }
}
