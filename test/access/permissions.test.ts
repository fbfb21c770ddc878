/** The rules of access (reference 14.2 to 14.4) as a table: pure, so each line is all that there is to it. */
import t from 'tap'
import {
  type AccessSettings,
  type Action,
  NOBODY,
  type Principal,
  permits,
  readSettings,
  rightFor
} from '../../src/access/permissions.js'
import type { Acl } from '../../src/streams/acl.js'

const known = (login: string, groups: string[] = [], more: Partial<Principal> = {}): Principal => {
  return { login, groups, by: 'password', ...more }
}
const people = {
  nobody: NOBODY,
  ann: known('ann'),
  bob: known('bob', ['sales']),
  ops: known('ops', ['$ops']),
  admin: known('admin', ['$admins']),
  root: known('root', ['$admins'])
}
type Person = keyof typeof people

const defaults = readSettings(undefined, false)
const open = readSettings(undefined, true)
const everybody: Person[] = ['ann', 'bob', 'ops', 'admin', 'root']
const administrators: Person[] = ['admin', 'root']

function may(stream: string, action: Action, acl: Acl | undefined, settings: AccessSettings): Person[] {
  const right = rightFor(action, stream)
  return (Object.keys(people) as Person[]).filter((name) => permits(people[name], right, acl, settings))
}

t.test('who may do what follows the rule, then the settings, then the default', async (t) => {
  const settings = (data: object) => readSettings(Buffer.from(JSON.stringify(data)), false)
  const rows: [what: string, stream: string, action: Action, acl: Acl | undefined, AccessSettings, Person[]][] = [
    ['a user stream by default', 's', 'read', undefined, defaults, everybody],
    ['… and without an account', 's', 'write', undefined, open, ['nobody', ...everybody]],
    ['a system stream by default', '$s', 'read', undefined, open, administrators],
    ['a login', 's', 'read', { $r: 'ann' }, open, ['ann', ...administrators]],
    ['logins', 's', 'write', { $w: ['ann', 'bob'] }, defaults, ['ann', 'bob', ...administrators]],
    ['a group', 's', 'delete', { $d: 'sales' }, defaults, ['bob', ...administrators]],
    ['nobody', 's', 'read', { $r: [] }, open, administrators],
    ['everybody who signed in', 's', 'read', { $r: '$all' }, defaults, everybody],
    ['another right is not this one', 's', 'write', { $r: 'ann' }, defaults, everybody],
    ['a system stream that all may read needs an account', '$s', 'read', { $r: '$all' }, open, everybody],
    ['metadata has rights of its own', 's', 'readMetadata', { $r: 'bob', $mr: 'ann' }, defaults, ['ann', ...administrators]],
    ['… which by themselves are those of reading', 's', 'readMetadata', { $r: ['ann', 'sales'] }, open, ['ann', 'bob', ...administrators]],
    ['… also of its metastream', '$$s', 'read', { $r: 'ann' }, open, ['ann', ...administrators]],
    ['… where nobody reads', 's', 'readMetadata', { $r: [] }, open, administrators],
    ['… where all read', 's', 'readMetadata', { $r: '$all', $w: 'ann' }, open, ['nobody', ...everybody]],
    ['… where all read by default', 's', 'readMetadata', { $w: 'ann' }, open, ['nobody', ...everybody]],
    ['… unless the rule opens them', 's', 'readMetadata', { $r: 'ann', $mr: '$all' }, open, ['nobody', ...everybody]],
    ['… by the settings, too', 's', 'readMetadata', undefined, settings({ $userStreamAcl: { $r: 'sales' } }), ['bob', ...administrators]],
    ['… which may name their own', 's', 'readMetadata', undefined, settings({ $userStreamAcl: { $r: 'sales', $mr: '$all' } }), everybody],
    ['… but open no rule that names readers', 's', 'readMetadata', { $r: 'ann' }, settings({ $userStreamAcl: { $mr: '$all' } }), ['ann', ...administrators]],
    ['… and narrow it', 's', 'readMetadata', { $r: ['ann', 'bob'] }, settings({ $userStreamAcl: { $mr: 'sales' } }), ['bob', ...administrators]],
    ['of a system stream whoever reads does not read its rule', '$s', 'readMetadata', { $r: 'ann' }, open, administrators],
    ['… by the settings neither', '$s', 'readMetadata', undefined, settings({ $systemStreamAcl: { $r: '$ops' } }), administrators],
    ['a metastream is read by the right to metadata', '$$s', 'read', { $mr: 'ann' }, defaults, ['ann', ...administrators]],
    ['… and written by the right to write it', '$$s', 'write', { $mw: 'bob' }, defaults, ['bob', ...administrators]],
    ['metadata of a system stream', '$$$s', 'read', undefined, open, administrators],
    ['the settings for user streams', 's', 'read', undefined, settings({ $userStreamAcl: { $r: 'sales' } }), ['bob', ...administrators]],
    ['… do not concern system streams', '$s', 'read', undefined, settings({ $userStreamAcl: { $r: 'sales' } }), administrators],
    ['the settings for system streams', '$s', 'read', undefined, settings({ $systemStreamAcl: { $r: '$ops' } }), ['ops', ...administrators]],
    ['a rule goes before the settings', 's', 'read', { $r: 'ann' }, settings({ $userStreamAcl: { $r: 'bob' } }), ['ann', ...administrators]],
    ['settings that make no sense', 's', 'read', undefined, settings({ $userStreamAcl: { $r: 7 } }), administrators],
    ['… also of what they do not speak of', 's', 'write', undefined, settings({ $userStreamAcl: { $r: 7 } }), administrators],
    ['… but of what makes sense', 's', 'write', undefined, settings({ $userStreamAcl: { $r: 7, $w: 'ann' } }), ['ann', ...administrators]],
    ['settings with an unknown member', 's', 'read', undefined, settings({ $userStreamACL: { $r: 'bob' } }), administrators],
    ['settings with an unknown right', 's', 'read', undefined, settings({ $userStreamAcl: { $x: 'bob' } }), administrators],
    ['settings that are no object', 's', 'read', undefined, settings([1]), administrators],
    ['settings that are not JSON', 's', 'read', undefined, readSettings(Buffer.alloc(0), false), administrators]
  ] // biome-ignore format: a table
  for (const [what, stream, action, acl, given, wanted] of rows) t.same(may(stream, action, acl, given), wanted, what)
})

t.test('a scope takes away and never gives', async (t) => {
  const scoped = (read: string[], write: string[], of: Principal = people.admin): Principal => ({
    ...of,
    scope: { read, write }
  })
  const can = (who: Principal, action: Action, stream: string, acl?: Acl) =>
    permits(who, rightFor(action, stream), acl, defaults)
  t.ok(can(scoped(['cart-*'], []), 'read', 'cart-1'))
  t.ok(can(scoped(['cart-*'], []), 'read', '$$cart-1'), 'with its metadata')
  t.notOk(can(scoped(['cart-*'], []), 'read', 'car'))
  t.notOk(can(scoped(['cart-1'], []), 'read', 'cart-11'), 'a name without a star is one name')
  t.notOk(can(scoped(['cart-*'], []), 'write', 'cart-1'))
  t.ok(can(scoped([], ['*']), 'delete', 'cart-1'))
  t.notOk(can(scoped(['*'], ['*']), 'read', '$users'), 'a star alone leaves system streams alone')
  t.ok(can(scoped(['$*'], []), 'read', '$users'))
  t.notOk(can(scoped(['$*'], [], people.ann), 'read', '$users'), 'its account may not')
  t.notOk(can(scoped(['*'], [], people.ann), 'read', 's', { $r: 'bob' }))
})

t.test('roles are not what objects inherit', async (t) => {
  const acl = JSON.parse('{"__proto__":{"$r":"ann"},"$w":"ann"}') as Acl
  t.same(may('$s', 'read', acl, defaults), administrators)
  t.same(may('s', 'read', { $r: 'constructor' }, defaults), administrators)
  t.notOk(permits(known('toString'), rightFor('read', '$s'), {}, defaults))
})
