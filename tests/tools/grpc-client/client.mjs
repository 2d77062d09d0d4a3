// The same questions as client.py, asked by an implementation of HTTP/2 and gRPC that shares no code with it nor with ours.
//
//     node client.mjs HOST:PORT FOLDER_OF_PROTOCOLS < questions.json > answers.json

import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [address, protocols] = process.argv.slice(2);
const questions = JSON.parse(readFileSync(0, "utf8"));
const definition = loader.loadSync("quipu/auth/v1/auth.proto", {
  includeDirs: [protocols],
  keepCase: true,
  defaults: true,
  longs: Number,
});
const { AuthService } = grpc.loadPackageDefinition(definition).quipu.auth.v1;
const client = new AuthService(address, grpc.credentials.createInsecure());

function call(method, message, patience = 20_000) {
  const metadata = new grpc.Metadata();
  metadata.set("traceparent", `00-${questions.trace}-00f067aa0ba902b7-01`);
  return new Promise((resolve) => {
    const answer = { metadata: {} };
    const done = (error, said) => {
      const details = error?.metadata?.get("grpc-status-details-bin") ?? [];
      resolve({
        ...answer,
        status: grpc.status[error?.code ?? grpc.status.OK],
        details: details.map((it) => it.toString("latin1")).join(""),
        message: said ?? null,
      });
    };
    const deadline = Date.now() + patience;
    client[method](message, metadata, { deadline }, done).on("metadata", (it) => (answer.metadata = it.getMap()));
  });
}

const answers = {
  valid: await call("ValidateToken", { access_token: questions.token }),
  invalid: await call("ValidateToken", { access_token: `${questions.token}x` }),
  login: await call("Login", questions.login),
  malformed: await call("Login", { ...questions.login, email: "nobody" }),
};
process.stdout.write(JSON.stringify(answers), () => client.close());
