/** The server's metrics, for Prometheus. Labels have few values: never the names of streams or clients. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

export class Metrics {
  readonly registry = new Registry()
  readonly #appends = new Histogram({
    name: 'daybook_append_seconds',
    help: 'Time from accepting an append until it is on disk',
    buckets: SECONDS,
    registers: [this.registry]
  })
  readonly #commits = new Histogram({
    name: 'daybook_commit_seconds',
    help: 'Time of one synced batch',
    buckets: SECONDS,
    registers: [this.registry]
  })
  readonly #events = new Counter({
    name: 'daybook_appended_events_total',
    help: 'Events written to the log',
    registers: [this.registry]
  })
  readonly #reads = new Counter({
    name: 'daybook_read_events_total',
    help: 'Events sent to readers',
    registers: [this.registry]
  })

  readonly #failures = new Counter({
    name: 'daybook_sign_in_failures_total',
    help: 'Sign-ins rejected, by kind of credential',
    labelNames: ['by'],
    registers: [this.registry]
  })
  readonly #liveRefused = new Counter({
    name: 'daybook_live_refused_total',
    help: 'Live reads rejected because of a temporary condition, by problem code',
    labelNames: ['code'],
    registers: [this.registry]
  })
  readonly #connectionsClosed = new Counter({
    name: 'daybook_connections_closed_total',
    help: 'Connections, idle or new, closed because there were too many',
    registers: [this.registry]
  })
  readonly #named = new Set<string>()

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  /**
   * Returns all metrics in the text format of Prometheus.
   * @param named include metrics with one value per name, which reveal the names
   */
  async text(named: boolean): Promise<string> {
    if (named) return this.registry.metrics()
    const unnamed = this.registry.getMetricsAsArray().filter(({ name }) => !this.#named.has(name))
    const texts = await Promise.all(unnamed.map(({ name }) => this.registry.getSingleMetricAsString(name)))
    return `${texts.join('\n\n')}\n`
  }

  /** Counts an acknowledged append. @param seconds since it was accepted */
  appended(seconds: number): void {
    this.#appends.observe(seconds)
  }

  /** Returns the number of acknowledged appends, and their total time from acceptance until they were on disk. */
  async appendTotals(): Promise<{ readonly appends: number; readonly seconds: number }> {
    const { values } = await this.#appends.get()
    const of = (name: string) => values.find(({ metricName }) => metricName === name)?.value ?? 0
    return { appends: of('daybook_append_seconds_count'), seconds: of('daybook_append_seconds_sum') }
  }

  /** Counts a batch that was written to disk. */
  committed(events: number, seconds: number): void {
    this.#commits.observe(seconds)
    this.#events.inc(events)
  }

  signInFailed(by: 'password' | 'token' | 'ticket'): void {
    this.#failures.inc({ by })
  }

  /** Counts a live read that was rejected because of a temporary condition. @param code code of the problem */
  liveRefused(code: string): void {
    this.#liveRefused.inc({ code })
  }

  /** Counts a connection that was closed because there were too many. */
  connectionClosed(): void {
    this.#connectionsClosed.inc()
  }

  read(events: number): void {
    this.#reads.inc(events)
  }

  /**
   * Adds a gauge with one value per label value. It is read when the metrics are requested.
   * @param values must return a bounded number of values
   */
  gaugeBy(name: string, help: string, label: string, values: () => Promise<[string, number][]>): void {
    this.#named.add(name)
    this.registry.removeSingleMetric(name) // a closed application may have registered it
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      async collect() {
        const rows = await values()
        this.reset()
        for (const [value, count] of rows) this.set({ [label]: value }, count)
      }
    })
  }

  /** Adds a gauge. Its value is read when the metrics are requested. */
  gauge(name: string, help: string, value: () => number): void {
    this.registry.removeSingleMetric(name) // a closed application may have registered it
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(value())
      }
    })
  }
}
