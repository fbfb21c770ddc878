/** Operations on /users: accounts and the commands on them. */
import { type TSchema, Type } from 'typebox'
import {
  ChangedUser,
  NewUser,
  PasswordChange,
  PasswordReset,
  UserAnswer,
  UserList,
  UserResult
} from '../accounts/users.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

const tags = ['users']
const params = Type.Object({ login: Type.String({ description: '`$current` is who asks.' }) })
const result = jsonResponse('Done.', UserResult)

function listUsers(hide: boolean) {
  return {
    hide,
    operationId: 'listUsers',
    summary: 'All accounts, by login',
    tags,
    response: { 200: jsonResponse('Accounts.', UserList) }
  }
}

function createUser(hide: boolean) {
  return {
    hide,
    operationId: 'createUser',
    summary: 'Make an account',
    tags,
    body: { content: jsonContent(NewUser) },
    response: { 201: result, 409: result, ...problemResponses([400, 415, 503]) }
  }
}

/** A command on one account. @param body what it takes; undefined: nothing */
function command(operationId: string, summary: string, body?: TSchema) {
  return {
    operationId,
    summary,
    tags,
    params,
    ...(body && { body: { content: jsonContent(body) } }),
    response: { 200: result, 404: result, ...problemResponses([400, 415]) }
  }
}

export const userOperations = {
  list: listUsers(false),
  create: createUser(false),
  /** As `list` and `create`, at the address with a slash at its end. */
  listWithSlash: listUsers(true),
  createWithSlash: createUser(true),
  get: {
    operationId: 'getUser',
    summary: 'One account',
    tags,
    params,
    response: { 200: jsonResponse('The account.', UserAnswer), 404: jsonResponse('There is none.', UserAnswer) }
  },
  update: {
    operationId: 'updateUser',
    summary: 'Change name and groups of an account; what is left out becomes null',
    tags,
    params,
    body: { content: jsonContent(ChangedUser) },
    response: { 200: result, 404: result, ...problemResponses([400, 415]) }
  },
  remove: {
    operationId: 'deleteUser',
    summary: 'Delete an account',
    tags,
    params,
    response: { 200: result, 404: result }
  },
  enable: command('enableUser', 'Let an account sign in again'),
  disable: command('disableUser', 'Let an account sign in no more'),
  resetPassword: command('resetPassword', 'Give an account another password', PasswordReset),
  changePassword: command('changePassword', "Change one's own password", PasswordChange)
}
