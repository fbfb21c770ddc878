/** `npm run openapi`: writes openapi.yaml anew from the routes and their schemas. */
import { writeFileSync } from 'node:fs'
import { generateOpenApi, OPENAPI_PATH } from './openapi.js'

writeFileSync(OPENAPI_PATH, await generateOpenApi())
