/** Parses and checks the WebSocket frames of a client. */
import { AckFrame, CreditFrame, SubscribeFrame, UnsubscribeFrame } from '../../../schemas/frames.js'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import { compileShape } from '../../wire/problems/shape.js'

const checkAck = compileShape<AckFrame>(AckFrame)
const checkCredit = compileShape<CreditFrame>(CreditFrame)
const checkSubscribe = compileShape<SubscribeFrame>(SubscribeFrame)
const checkUnsubscribe = compileShape<UnsubscribeFrame>(UnsubscribeFrame)

export type ClientFrame = AckFrame | CreditFrame | SubscribeFrame | UnsubscribeFrame

/** A parsed frame, whose members are not checked yet. */
type UncheckedFrame = Record<string, unknown>

/** Parses a frame. @throws `malformed-json`, `bad-frame` */
export function parseFrame(data: Buffer, isBinary: boolean): UncheckedFrame {
  if (isBinary) throw badFrame('A frame must be a text frame, not a binary one.')
  let value: unknown
  try {
    value = JSON.parse(data.toString())
  } catch {
    throw new DaybookError('malformed-json', 'A frame must be one JSON object.')
  }
  if (typeof value !== 'object' || value === null) throw badFrame('A frame must be one JSON object.')
  return value as UncheckedFrame
}

/** Returns the `sub` of a frame, for the response to it; undefined if it has none, or too long a one to repeat. */
export function subOf({ sub }: UncheckedFrame): string | undefined {
  return typeof sub === 'string' && sub.length <= 2 * limits.sub_chars_max ? sub : undefined
}

/** Returns the frame if its members are valid. @throws `bad-frame` */
export function checkFrame(value: UncheckedFrame): ClientFrame {
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
  throw badFrame(`There is no frame "${name}"; a client can send ack, credit, subscribe and unsubscribe.`)
}

export function badFrame(why: string): DaybookError {
  return new DaybookError('bad-frame', why)
}
