/** One contract for every way to reach a store. */
import t from 'tap'
import { storeContract } from './store-contract.js'
import { DIALECT_LACKS, openCore, openDialect, openHttp } from './stores.js'

storeContract(t, 'the core in this process', openCore)
storeContract(t, 'the native HTTP API', openHttp)
storeContract(t, "EventStoreDB's form of the HTTP API", openDialect, DIALECT_LACKS)
