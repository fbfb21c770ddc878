/**
 * Recovery after a failed write. A commit may be on disk although its write was answered as failed: the index, and
 * everything that is kept in memory of system streams, follows the log before the store accepts writes again.
 */
import t, { type Test } from 'tap'
import { NOBODY } from '../../src/access/permissions.js'
import { family } from '../../src/log/format.js'
import type { Store } from '../../src/store/store.js'
import { append as appendOverHttp } from '../helpers/app.js'
import { StillClock } from '../helpers/clock.js'
import { encodeEvent } from '../helpers/events.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { admin, makeToken, makeUser, principalOf, setRules, TEST_ACTOR, withAnn } from '../helpers/people.js'
import { failOnce, openSmall, type Setup, smallDisk, untilWritable } from '../helpers/still-standing.js'

const append = (store: Store, ...events: ReturnType<typeof encodeEvent>[]) =>
  store.writer.append({ events, conditions: [], kind: 'append' })

const metadata = (stream: string, data: object) => encodeEvent(`$$${stream}`, { type: '$metadata', data })

/** Makes a change whose commit reaches the disk and is answered as failed. The store accepts writes when it returns. */
async function failAfterWrite(t: Test, setup: Setup, change: () => Promise<unknown>): Promise<void> {
  const { head } = setup.store.log
  setup.disk.fault = failOnce('log writeSynced', 'after')
  const refusal = { code: 'read-only', details: { written: 'unknown' } }
  await t.rejects(untilWritable(setup, change()), refusal, 'the change is answered as failed')
  setup.disk.fault = undefined
  t.ok(setup.store.log.head > head, 'the change is in the log')
}

t.test('after recovery the index holds the events of a commit that was answered as failed', async (t) => {
  const setup = await openSmall(t, smallDisk(t))
  const { store } = setup
  await append(store, encodeEvent('s'))
  await failAfterWrite(t, setup, () => append(store, encodeEvent('s', { tags: ['late'] }), encodeEvent('new')))
  t.equal(store.postings.appliedTo, store.log.head)
  t.equal(store.log.publishedHead, store.log.head, 'readers that wait are told')
  t.equal((await store.postings.head(family.stream, 's'))?.count, 2)
  t.equal((await store.postings.head(family.tag, 'late'))?.count, 1)
  t.equal((await store.sources.of('new')).head, 0)
  t.match(await append(store, encodeEvent('s')), { events: [{ number: 2, position: 3 }] })
})

t.test('after recovery metadata and tombstones in memory are those of the log', async (t) => {
  const setup = await openSmall(t, smallDisk(t))
  const { store } = setup
  await append(store, encodeEvent('cached'), metadata('cached', { $maxCount: 5 }))
  t.equal((await store.states.of('cached')).metadata.maxCount, 5)
  t.equal(store.states.inMemory('cached')?.metadata.maxCount, 5, 'the state is in memory')
  await failAfterWrite(t, setup, () =>
    append(store, metadata('cached', { $maxCount: 1 }), metadata('first', { $tb: 3 }))
  )
  t.equal((await store.states.of('cached')).metadata.maxCount, 1)
  t.equal((await store.states.of('first')).metadata.truncateBefore, 3, 'also of a stream that had no metadata')
  const deletion = { kind: 'delete', stream: 'cached', expected: 'any', permanent: true } as const
  await failAfterWrite(t, setup, () => store.writer.delete(deletion))
  t.equal((await store.states.of('cached')).tombstone, true)
  await t.rejects(append(store, encodeEvent('cached')), { code: 'stream-deleted' })
})

t.test('after recovery the access rules are those of the log', async (t) => {
  const setup = await openSmall(t, smallDisk(t), { anonymous: true })
  const { store } = setup
  const { rules } = store
  await append(store, encodeEvent('open'), encodeEvent('closed'))
  t.equal(await rules.may(NOBODY, 'read', 'closed'), true)
  await failAfterWrite(t, setup, () => append(store, metadata('closed', { $acl: { $r: 'ann' } })))
  t.equal(await rules.may(NOBODY, 'read', 'closed'), false, 'the ACL of a stream')
  const settings = encodeEvent('$settings', { data: { $userStreamAcl: { $r: '$admins' } } })
  await failAfterWrite(t, setup, () => append(store, settings))
  t.equal(await rules.may(NOBODY, 'read', 'open'), false, 'the default ACL in $settings')
})

t.test('after recovery accounts and tokens are those of the log', async (t) => {
  const setup = await openSmall(t, smallDisk(t))
  const { store, clock } = setup
  const { accounts, tokens } = store
  await failAfterWrite(t, setup, () => makeUser(store, 'ann'))
  t.match(accounts.get('ann'), { login: 'ann', disabled: false }, 'the account was made')
  await failAfterWrite(t, setup, () => makeToken(store, 'ann', { read: ['*'] }))
  const [token] = tokens.visibleTo(principalOf(store, 'ann'))
  t.match(token, { login: 'ann', scope: { read: ['*'] } }, 'the token was made')
  const byToken = tokens.principalById(token?.id ?? '')
  t.match(byToken, { login: 'ann' })
  const actor = { ...TEST_ACTOR, principal: principalOf(store, 'ann') }
  await failAfterWrite(t, setup, () => tokens.revoke(actor, token?.id ?? ''))
  t.equal(tokens.has(token?.id ?? ''), false, 'the token was revoked')
  const signedIn = principalOf(store, 'ann')
  t.equal(store.rules.signInRefusal(signedIn, clock.now()), undefined)
  await failAfterWrite(t, setup, () => accounts.setDisabled(TEST_ACTOR, 'ann', true))
  t.equal(accounts.get('ann')?.disabled, true, 'the account was disabled')
  t.match(store.rules.signInRefusal(signedIn, clock.now()), { code: 'sign-in-required' })
})

t.test('recovery closes a live reader whose right was revoked by a commit that was answered as failed', async (t) => {
  const disk = smallDisk(t)
  const clock = new StillClock()
  const { app, store, url, directory, bob } = await withAnn(t, { clock })
  const setup = { store, disk, clock, directory }
  await setRules(app, 'secret-1', { read: ['ann', 'bob'] })
  const socket = await LiveSocket.open(t, `${url}/streams/secret-1`, bob)
  await socket.untilEvents(1)
  await failAfterWrite(t, setup, () => append(store, metadata('secret-1', { $acl: { $r: 'ann' } })))
  t.match(await socket.closed, { code: 4403, reason: 'not-permitted' })
  await appendOverHttp(app, 'secret-1', { type: 'TooLate' }, admin)
  t.equal(socket.events.length, 1, 'nothing more was sent')
})
