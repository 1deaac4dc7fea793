from wapsi.cli import main

main()
