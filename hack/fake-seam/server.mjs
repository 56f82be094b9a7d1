// Starts Seam's official fake for tests and the demo, on loopback alone, and seeds it as its own `--seed` does.
//
//   PORT=0 node server.mjs     prints one line, {"url":"http://127.0.0.1:NNNN"}, when it is ready
//
// It ends on SIGTERM and SIGINT, and when its standard input closes: whoever started it need only hold a pipe to it, and
// nothing is left behind even if that process is killed.
//
// The fake can't be told to make a session that expires soon, or to extend one, as a session's owner does at Seam. These
// routes, which Seam has not, can:
//
//   GET    /_test/client_sessions         every session: {"client_sessions": [...]}
//   POST   /_test/client_sessions         adds a session, or changes the one whose client_session_id is given; the body
//                                         holds the fields to set, as Seam names them, null removes one;
//                                         expires_in_seconds (may be negative) sets expires_at from now;
//                                         answers {"client_session": {...}}
//   DELETE /_test/client_sessions/<id>    with the event client_session.deleted, as at Seam; 404 if there is none
//
// A new session is of workspace seed_workspace_1, expires in a year and has a token of its own unless the body says
// otherwise. The fake takes a credential for a client session's token only if it begins with seam_cst1. Everything else
// is the fake's own, e.g. POST /_fake/simulate_workspace_outage.
import { Server } from 'node:http'
import { json } from 'node:stream/consumers'
import { createFake } from '@seamapi/fake-seam-connect'

// The fake listens on every interface and has no option for another.
const { listen } = Server.prototype
Server.prototype.listen = function (port, done) {
  return listen.call(this, { port, host: '127.0.0.1' }, done)
}

const fake = await createFake()
await fake.seed()
const { server } = await fake.startServer({ port: Number(process.env.PORT ?? 0) })
const { database } = fake

function upsertSession({ expires_in_seconds, ...fields }) {
  if (expires_in_seconds !== undefined) {
    fields.expires_at = new Date(Date.now() + expires_in_seconds * 1000).toISOString()
  }
  const sessions = database.client_sessions
  const id = fields.client_session_id
  const existing =
    sessions.find((session) => session.client_session_id === id) ??
    database.addClientSession({ workspace_id: 'seed_workspace_1', ...fields })
  const session = Object.fromEntries(
    Object.entries({ ...existing, ...fields }).filter(([, value]) => value !== null),
  )
  const others = database.client_sessions
  database.setState({ client_sessions: others.map((other) => (other === existing ? session : other)) })
  return session
}

function deleteSession(id) {
  const sessions = database.client_sessions
  const session = sessions.find((session) => session.client_session_id === id)
  if (session === undefined) return false
  database.setState({ client_sessions: sessions.filter((other) => other !== session) })
  database.addEvent({ event_type: 'client_session.deleted', workspace_id: session.workspace_id, client_session_id: id })
  return true
}

async function control(req, res) {
  const answer = (status, body) => res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const id = req.url.match(/^\/_test\/client_sessions(?:\/([^/]+))?$/)?.[1]
  const route = `${req.method} ${id === undefined ? req.url : '/_test/client_sessions/:id'}`
  try {
    switch (route) {
      case 'GET /_test/client_sessions':
        return answer(200, { client_sessions: database.client_sessions })
      case 'POST /_test/client_sessions':
        return answer(200, { client_session: upsertSession(await json(req)) })
      case 'DELETE /_test/client_sessions/:id':
        return answer(deleteSession(id) ? 200 : 404, {})
      default:
        return answer(404, { error: `no such control route: ${route}` })
    }
  } catch (error) {
    return answer(400, { error: error.message })
  }
}

const [serveFake] = server.listeners('request')
server.removeAllListeners('request')
server.on('request', (req, res) => (req.url.startsWith('/_test/') ? control(req, res) : serveFake(req, res)))

const stop = () => process.exit(0)
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
process.stdin.on('end', stop).on('error', stop).resume()
console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }))
