/**
 * Clients of event streams by other authors, unmodified. Each follows an address and records what its handler receives.
 * A handler parses every message as JSON, as applications do.
 */
import { EventSource } from 'eventsource'
import { createEventSource } from 'eventsource-client'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'

/** The messages that the handler of a client has received. */
export interface ReceivedMessages {
  /** Numbers of the events, in the order in which they came. */
  numbers: number[]
  /** Names of the other messages; `closing` with its code. */
  named: string[]
  /** Errors that the handler threw. */
  thrown: string[]
  gaveUp: boolean
}

export interface FollowingClient {
  readonly name: string
  received(): ReceivedMessages | Promise<ReceivedMessages>
}

const NAMES = ['subscribed', 'caughtUp', 'fellBehind', 'checkpoint', 'closing']

/** Records the messages of one client. */
class Handler implements FollowingClient {
  readonly name: string
  readonly #kept: ReceivedMessages = { numbers: [], named: [], thrown: [], gaveUp: false }

  constructor(name: string) {
    this.name = name
  }

  received(): ReceivedMessages {
    return this.#kept
  }

  gaveUp(): void {
    this.#kept.gaveUp = true
  }

  /** @param event name of the message; `message` or empty if it has none */
  take(event: string, data: string): void {
    const { numbers, named, thrown } = this.#kept
    try {
      const value = JSON.parse(data)
      if (event === '' || event === 'message') numbers.push(value.number)
      else named.push(event === 'closing' ? `closing ${value.code}` : event)
    } catch (error) {
      thrown.push(`${event} ${JSON.stringify(data)}: ${error}`)
    }
  }
}

/** npm `eventsource`: the interface of browsers. */
export function withEventSource(t: Test, url: string): FollowingClient {
  const handler = new Handler('eventsource')
  const source = new EventSource(url)
  t.teardown(() => source.close())
  for (const name of ['message', ...NAMES]) source.addEventListener(name, ({ data }) => handler.take(name, data))
  source.onerror = () => source.readyState === source.CLOSED && handler.gaveUp()
  return handler
}

/** npm `eventsource-client`: one handler for all messages. */
export function withEventSourceClient(t: Test, url: string): FollowingClient {
  const handler = new Handler('eventsource-client')
  const source = createEventSource({ url, onMessage: ({ event = '', data }) => handler.take(event, data) })
  t.teardown(() => source.close())
  return handler
}

/**
 * npm `@microsoft/fetch-event-source`, which passes on everything that ends with a blank line. It was made for
 * browsers.
 */
export async function withFetchEventSource(t: Test, url: string): Promise<FollowingClient> {
  const handler = new Handler('@microsoft/fetch-event-source')
  Object.assign(globalThis, { window: globalThis, document: new EventTarget() })
  const { fetchEventSource } = await import('@microsoft/fetch-event-source')
  const end = new AbortController()
  t.teardown(() => end.abort())
  fetchEventSource(url, {
    signal: end.signal,
    onmessage: ({ event, data }) => handler.take(event, data),
    onclose: () => {
      throw new Error('the server closed the stream') // makes it reconnect, as its documentation says
    }
  }).catch(() => handler.gaveUp())
  return handler
}

/** The EventSource of a browser, in a page of the same origin. */
export async function withBrowser(page: Page, path: string): Promise<FollowingClient> {
  await page.evaluate(
    ({ path, names }) => {
      const received: ReceivedMessages = { numbers: [], named: [], thrown: [], gaveUp: false }
      const source = new EventSource(path)
      // Functions here have no name: the compiler would set it with a helper that the page does not have.
      for (const name of ['message', ...names]) {
        source.addEventListener(name, (event) => {
          try {
            const value = JSON.parse((event as MessageEvent).data)
            if (event.type === 'message') received.numbers.push(value.number)
            else received.named.push(event.type === 'closing' ? `closing ${value.code}` : event.type)
          } catch (error) {
            received.thrown.push(String(error))
          }
        })
      }
      source.onerror = () => (received.gaveUp = source.readyState === source.CLOSED)
      Object.assign(globalThis, { kept: received })
    },
    { path, names: NAMES }
  )
  return {
    name: 'Chromium',
    received: () => page.evaluate(() => (globalThis as unknown as { kept: ReceivedMessages }).kept)
  }
}
