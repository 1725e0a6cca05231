# slimpack for Nix: `nix run .# -- ./app -o app.tar`, and a function that packs programs of Nix.
#
# slimpack's tests evaluate this file with nix-instantiate and a stand-in for nixpkgs; they build nothing.
{
  description = "Turn a Linux program into the smallest container image that still runs it";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      manifest = builtins.fromTOML (builtins.readFile ./Cargo.toml);
      systems = [ "x86_64-linux" "aarch64-linux" ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = each (pkgs: {
        default = pkgs.rustPlatform.buildRustPackage {
          pname = manifest.package.name;
          version = manifest.workspace.package.version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          # The tests compare with the loaders and engines of a Debian machine.
          doCheck = false;
          nativeBuildInputs = [ pkgs.installShellFiles ];
          postInstall = ''
            mkdir man
            $out/bin/slimpack man man
            installManPage man/*
            for shell in bash fish zsh; do
              $out/bin/slimpack completions $shell > slimpack.$shell
              installShellCompletion --cmd slimpack slimpack.$shell
            done
          '';
          meta = {
            inherit (manifest.package) description;
            license = with pkgs.lib.licenses; [ mit asl20 ];
            platforms = systems;
            mainProgram = "slimpack";
          };
        };
      });

      # slimpack.lib.x86_64-linux.image { name = "hello"; program = "${pkgs.hello}/bin/hello"; } is an image of
      # a program and of what it loads from the store. The sandbox of Nix has nothing else.
      lib = each (pkgs: {
        image = { name, program, options ? [ ] }:
          pkgs.runCommand "${name}.tar"
            { nativeBuildInputs = [ self.packages.${pkgs.system}.default ]; }
            "slimpack -q ${pkgs.lib.escapeShellArgs ([ program ] ++ options)} -o $out";
      });
    };
}
