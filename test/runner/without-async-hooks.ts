/**
 * Loaded into each test process before tap. tap follows every promise with an async hook, so that it can name the test
 * that an uncaught error belongs to; tests that use many promises spend half of their time on that. Without the hook an
 * uncaught error ends the process: tap names the test that was running, and Node prints the error.
 */
import hooks from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'

const noHook: hooks.AsyncHook = { enable: () => noHook, disable: () => noHook }
hooks.createHook = () => noHook
syncBuiltinESMExports()
