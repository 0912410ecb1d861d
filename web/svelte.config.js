// A component belongs to one backend for as long as it lives.
export default { compilerOptions: { warningFilter: ({ code }) => code !== "state_referenced_locally" } };
