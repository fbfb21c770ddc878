/** The frames that a client sends over a WebSocket, from their bytes. */
import { AckFrame, CreditFrame, SubscribeFrame, UnsubscribeFrame } from '../../../schemas/frames.js'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import { compileShape } from '../../wire/problems/shape.js'

const checkAck = compileShape<AckFrame>(AckFrame)
const checkCredit = compileShape<CreditFrame>(CreditFrame)
const checkSubscribe = compileShape<SubscribeFrame>(SubscribeFrame)
const checkUnsubscribe = compileShape<UnsubscribeFrame>(UnsubscribeFrame)

export type ClientFrame = AckFrame | CreditFrame | SubscribeFrame | UnsubscribeFrame

/** An object that a client sent, whose members nobody has looked at. */
type Sent = Record<string, unknown>

/** @throws `malformed-json`, `bad-frame` */
export function parseSent(data: Buffer, isBinary: boolean): Sent {
  if (isBinary) throw badFrame('A frame is text.')
  let value: unknown
  try {
    value = JSON.parse(data.toString())
  } catch {
    throw new DaybookError('malformed-json', 'A frame is one JSON object.')
  }
  if (typeof value !== 'object' || value === null) throw badFrame('A frame is one JSON object.')
  return value as Sent
}

/** The subscription that an answer to a frame names; undefined: the frame names none. */
export function subOf({ sub }: Sent): string | undefined {
  return typeof sub === 'string' && sub.length <= 2 * limits.sub_chars_max ? sub : undefined
}

/** @throws `bad-frame` */
export function checkFrame(value: Sent): ClientFrame {
  switch (value.frame) {
    case 'ack':
      return checkAck(value, badFrame)
    case 'credit':
      return checkCredit(value, badFrame)
    case 'subscribe':
      return checkSubscribe(value, badFrame)
    case 'unsubscribe':
      return checkUnsubscribe(value, badFrame)
  }
  const name = String(value.frame).slice(0, 60)
  throw badFrame(`There is no frame "${name}"; a client sends ack, credit, subscribe and unsubscribe.`)
}

export function badFrame(why: string): DaybookError {
  return new DaybookError('bad-frame', why)
}
